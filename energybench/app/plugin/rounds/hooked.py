"""What free and pedantic benchmarks share: hooks between rounds, counting, further calls."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from energybench.energy.call_window import CallWindow, Length
from energybench.records.calls import CallEnergy

Keep = Callable[[CallEnergy], None]
"""Takes the energy per call of one test."""
CANNOT = (Exception, pytest.fail.Exception, pytest.skip.Exception)
"""What a target may raise that was called once more than its test asked for."""
_WALL_CLOCKS = (time.perf_counter, time.monotonic, time.time)
"""Timers whose seconds can be told from those of a window; others count other time."""
_MOST = 10
"""Further calls end after this many times the number that should do."""


@dataclass(frozen=True)
class Means:
    """What measures the calls of all tests of a session."""

    length: Length
    synchronize: Callable[[], None]

    def window(self) -> CallWindow:
        """Return a window that has not begun."""
        return CallWindow(self.length.meters, self.synchronize)


class Tally:
    """Calls and their seconds, of the rounds in pytest-benchmark's list from now on and others."""

    def __init__(self, stats: Any, wall_clock: bool) -> None:
        self._data: list[float] = stats.stats.data  # seconds per call, one for each round
        self._iterations: int = stats.iterations
        self._wall_clock = wall_clock
        self._seen = self._first = len(self._data)
        self._seconds = 0.0
        self.further = 0
        """Calls beyond pytest-benchmark's own."""

    def add(self, calls: int, seconds: float) -> None:
        """Count further calls."""
        self.further += calls
        self._seconds += seconds

    def __call__(self) -> tuple[int, float | None]:
        """Return the calls so far and their seconds; None where no wall clock timed them."""
        self._seconds += sum(self._data[self._seen :]) * self._iterations
        self._seen = len(self._data)
        calls = (self._seen - self._first) * self._iterations + self.further
        return calls, self._seconds if self._wall_clock else None


class Hooked:
    """One benchmark, with our functions in place of those that make its runner and its list."""

    def __init__(self, benchmark: Any, means: Means, keep: Keep) -> None:
        self._benchmark, self._means, self._keep = benchmark, means, keep
        self._window = means.window()
        self._wall_clock = benchmark._timer in _WALL_CLOCKS
        self._their_runner, self._their_stats = benchmark._make_runner, benchmark._make_stats
        self._stats: Any = None

    def _with_hooks(self, run: Callable[[], Any]) -> Any:
        """Do `run` while pytest-benchmark uses our functions; raises what it raises."""
        __tracebackhide__ = True
        benchmark = self._benchmark
        benchmark._make_runner, benchmark._make_stats = self._make_runner, self._make_stats
        try:
            return run()
        finally:
            benchmark._make_runner, benchmark._make_stats = self._their_runner, self._their_stats
            if self._stats is not None:
                vars(self._stats).pop("update", None)
            if self._window.is_open:
                self._window.abandon()

    def _make_runner(self, function: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError

    def _make_stats(self, iterations: int) -> Any:
        """Make the list of timings; each round then ends in `_after_round`."""
        stats = self._stats = self._their_stats(iterations)
        self._tally = Tally(stats, self._wall_clock)
        theirs, ours = stats.update, self._after_round

        def update(duration: float) -> None:
            theirs(duration)
            ours(duration)

        stats.update = update
        return stats

    def _after_round(self, duration: float) -> None:
        raise NotImplementedError


def call_again(
    runner: Any, window: CallWindow, tally: Tally, length: Length, mean_s: float
) -> str | None:
    """Call on in an open window until it has its length; return why that was not possible.

    `runner` is pytest-benchmark's. It makes the calls in a loop, and times the loop. `mean_s` is a
    rough duration of one call, seconds.
    """
    from pytest_benchmark.fixture import PauseInstrumentation

    mean_s = max(mean_s, 1e-8)
    most = int(_MOST * length.needed_s / mean_s) + _MOST  # should the clock stand still
    try:
        with PauseInstrumentation():
            while (left_s := window.left_s(length)) > 0.0 and tally.further < most:
                calls = max(1, int(min(left_s, length.repeat_s / 4) / mean_s))
                tally.add(calls, runner(range(calls)))
                if time.perf_counter() >= window.due:
                    window.mark(*tally())
    except CANNOT as error:
        return not_again(error)
    return None


def not_again(error: BaseException) -> str:
    """Return the note on a target that raised `error` when it was called again."""
    what = " ".join(str(error).split())
    return f"cannot be called again: {type(error).__name__}{': ' if what else ''}{what}"
