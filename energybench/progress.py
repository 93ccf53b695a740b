"""A live line at a terminal; nothing anywhere else."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from statistics import fmean
from typing import Any, TextIO

Step = Callable[[str], None]
"""Advance the bar by one and show this text behind it."""

_BARS = (8, 20)
"""Characters of a bar in a terminal of fewer than `_WIDE` columns, and in another one."""
_WIDE = 110
_LATEST = 5
"""Steps whose mean duration is the pace of a bar."""


class Pace:
    """The time that the remaining steps of a bar take, at the pace of its latest ones."""

    def __init__(
        self,
        total: int,
        likely: float | None = None,
        at_most: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start now; `at_most` of `total` steps are to come, most likely `likely` ones."""
        self._total, self._likely, self._at_most = total, likely, at_most
        self._clock = clock
        self._last = clock()
        self._done = 0
        self._durations: deque[float] = deque(maxlen=_LATEST)

    def step(self) -> None:
        """Note that a step has ended."""
        now = self._clock()
        self._durations.append(now - self._last)
        self._last = now
        self._done += 1

    def left(self) -> str:
        """Return "0:01:05 to go", after "about" or "at most" where that is not certain; or ""."""
        steps, word = float(self._total - self._done), "at most " if self._at_most else ""
        if self._likely is not None and self._likely > self._done:
            steps, word = self._likely - self._done, "about "
        if not self._durations or steps <= 0:
            return ""
        seconds = round(steps * fmean(self._durations))
        return f"{word}{timedelta(seconds=seconds)} to go"


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

    def __init__(
        self,
        terminal: TextIO | None,
        before: Callable[[], None] = lambda: None,
        ending: Callable[[], str] = lambda: "",
    ) -> None:
        """Draw on `terminal` if it is one; `before` is called ahead of each bar.

        `ending` says when all bars will have ended, as far as that is known; "" where it is not.
        """
        self._terminal: Any = None
        if terminal is not None and terminal.isatty():
            self._terminal = _Leaving(terminal)
        self._before = before
        self._ending = ending
        self._open = False

    def say(self, line: str) -> None:
        """Write a line above the next bar."""
        if self._terminal is not None:
            self._terminal.write(f"{line}\n")
            self._terminal.flush()

    @contextmanager
    def bar(
        self, title: str, total: int, likely: float | None = None, at_most: bool = False
    ) -> Iterator[Step]:
        """A bar of `total` steps that vanishes at the end; a bar inside a bar is not drawn.

        It says when it ends. `at_most` means that fewer steps may do, most likely `likely` ones.
        """
        if self._terminal is None or self._open:
            yield lambda text: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._before()
        console = Console(file=self._terminal)
        length = _BARS[console.width >= _WIDE]
        columns = (
            TextColumn("{task.description}"),
            BarColumn(length),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        taken = len(title) + length + 2 * len(str(total)) + len("   /")  # "title bar 10/50 text"
        room = max(0, console.width - taken)
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
                pace = Pace(total, likely, at_most)

                def step(text: str) -> None:
                    pace.step()
                    parts = filter(None, (pace.left(), self._ending(), text))
                    drawn.update(task, advance=1, text=_cut(", ".join(parts), room), refresh=True)

                yield step
        finally:
            self._open = False


def _cut(text: str, room: int) -> str:
    """Return `text` in at most `room` characters: a narrow terminal loses its end."""
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"
