"""A live line at a terminal; nothing anywhere else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

Step = Callable[[str], None]
"""Advance the bar by one and show this text behind it."""


class _Leaving:
    """A terminal that may go away, as ssh's does: what cannot be written is left out."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._terminal.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._terminal.flush()


class Progress:
    """Draws bars on a terminal, one at a time, without a thread: it redraws only on a step."""

    def __init__(self, terminal: TextIO | None, before: Callable[[], None] = lambda: None) -> None:
        """Draw on `terminal` if it is one; `before` is called ahead of each bar."""
        self._terminal: Any = None
        if terminal is not None and terminal.isatty():
            self._terminal = _Leaving(terminal)
        self._before = before
        self._open = False

    def say(self, line: str) -> None:
        """Write a line above the next bar."""
        if self._terminal is not None:
            self._terminal.write(f"{line}\n")
            self._terminal.flush()

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Step]:
        """A bar of `total` steps that vanishes at the end; a bar inside a bar is not drawn."""
        if self._terminal is None or self._open:
            yield lambda text: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._before()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
        )
        console = Console(file=self._terminal)
        self._open = True
        try:
            with RichProgress(
                *columns,
                console=console,
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
            ) as drawn:
                task = drawn.add_task(title, total=total, text="")
                drawn.refresh()

                def step(text: str) -> None:
                    drawn.update(task, advance=1, text=text, refresh=True)

                yield step
        finally:
            self._open = False
