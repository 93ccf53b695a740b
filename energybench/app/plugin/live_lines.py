"""A line per running block of a cluster, at a terminal, while an attached session waits."""

from collections.abc import Callable, Sequence
from typing import Any, TextIO

MOST = 16
"""Blocks that get a line; the rest are counted."""


class LiveLines:
    """Draws lines, and takes them away when the wait ends; nothing without a terminal."""

    def __init__(self, terminal: TextIO | None, before: Callable[[], None]) -> None:
        """Draw on `terminal` if it is one; `before` is called ahead of the first line."""
        self._terminal, self._before = terminal, before
        self._live: Any = None

    def show(self, lines: Sequence[str]) -> None:
        """Draw these lines in place of the last ones."""
        if self._terminal is None or (not lines and self._live is None):
            return
        if not lines:
            self._live.stop()
            self._live = None
            return
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        if self._live is None:
            self._before()
            console = Console(file=self._terminal)
            self._live = Live(console=console, transient=True, auto_refresh=False)
            self._live.start()
        more = len(lines) - MOST
        shown = [*lines[:MOST], *([f"and {more} blocks more"] if more > 0 else [])]
        self._live.update(Text("\n".join(shown)), refresh=True)
