"""`benchmark.pedantic(target, ...)`: the test chooses how often to call."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from energybench.app.plugin.rounds.hooked import (
    CANNOT,
    Hooked,
    Keep,
    Means,
    Tally,
    call_again,
    not_again,
)
from energybench.energy.call_window import Windows
from energybench.records.calls import call_energy

_LONG_S = 0.01
"""Seconds of a round that a window of its own changes by less than 1 %: reading a meter takes up to
a millisecond, and leaves colder caches to what follows."""
_LONGEST = 10
"""Further calls end after this many times the seconds that they should take, setups included."""
_ALIKE = 3.0
"""Calls after a test that differ more than this from those within it, as a factor, are others."""
_COLD_S = 5e-5
"""Seconds that a first call may take beyond others."""
_OTHER = "after its test it takes another time"
_ONCE = "called once, as its test asks"


class Pedantic(Hooked):
    """Without setup and teardown, one window lasts from the first round to the last.

    With one of them rounds have windows of their own, so that neither is in one: the first round,
    and those after one that was long enough not to be disturbed. Further calls are made by `later`,
    after the test's function has ended, so that the test finds as many calls as it asked for. A
    target that was called only once, without a setup, is not called again.
    """

    def __init__(
        self, benchmark: Any, means: Means, keep: Keep, target: Any, asked: Mapping[str, Any]
    ) -> None:
        super().__init__(benchmark, means, keep)
        self._target, self._asked = target, asked
        self._arguments = asked.get("args", ()), asked.get("kwargs") or {}
        self._setup, self._teardown = asked.get("setup"), asked.get("teardown")
        self._iterations = asked.get("iterations", 1)
        self._apart = self._setup is not None or self._teardown is not None
        self._windows = Windows(means.length)
        self._made = 0
        self._disturbs = False
        self.later: Callable[[], None] | None = None
        """Calls the target again; None where the meters do not need it, or the test forbids it."""

    def run(self, raw: Callable[..., Any]) -> Any:
        """Do what `raw` does; raises what the target raises."""
        __tracebackhide__ = True
        result = self._with_hooks(lambda: raw(self._target, **self._asked))
        if not self._windows.all:
            return result
        found, note = self._windows.joined(), None
        if not self._means.length.is_reached_by(found):
            if self._setup is not None or self._made > 1 or self._iterations > 1:
                self.later = self._again_apart if self._apart else self._again
            else:
                note = _ONCE
        self._keep(call_energy(found, note=note))
        return result

    def _make_runner(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Make the runner of one round, which follows at once."""
        runner = self._their_runner(function, args, kwargs)
        self._made += 1
        warm = self._made > self._asked.get("warmup_rounds", 0)
        if warm and not self._window.is_open and not self._disturbs:
            self._window = self._means.window()
            self._window.open()
        return runner

    def _after_round(self, duration: float) -> None:
        self._disturbs = self._apart and duration < _LONG_S
        if not self._window.is_open:
            return
        if self._apart:
            self._close_one(duration)
        elif len(self._stats.stats.data) >= self._asked.get("rounds", 1):
            self._windows.add(self._window.close(*self._tally()))
        elif time.perf_counter() >= self._window.due:
            self._window.mark(*self._tally())

    def _close_one(self, duration: float) -> None:
        timed_s = duration if self._wall_clock else None
        self._windows.add(self._window.close(self._iterations, timed_s))

    def _again(self) -> None:
        """Measure further calls in one window; they replace the rounds, which were too few."""
        runner = self._their_runner(self._target, *self._arguments)
        window, tally = self._means.window(), Tally(self._stats, self._wall_clock)
        window.open()
        note = call_again(runner, window, tally, self._means.length, self._stats.stats.mean)
        if note is None and not self._is_alike(*tally()):
            note = _OTHER
        if note is None:
            self._keep(call_energy(window.close(*tally()), tally.further))
        else:
            window.abandon()
            self._keep(call_energy(self._windows.joined(), note=note))

    def _again_apart(self) -> None:
        """Measure further calls, each in a window of its own, beside those of the rounds."""
        length, rounds = self._means.length, self._windows
        self._windows = Windows(length, rounds.all)
        end, note, calls, seconds = time.perf_counter() + _LONGEST * length.needed_s, None, 0, 0.0
        try:
            while not self._windows.are_enough and time.perf_counter() < end:
                seconds += self._once_more()
                calls += self._iterations
        except CANNOT as error:
            note = not_again(error)
        finally:
            if self._window.is_open:
                self._window.abandon()
        if note is None and not self._is_alike(calls, seconds if self._wall_clock else None):
            note = _OTHER
        if note is not None:
            self._windows, calls = rounds, 0
        elif not self._windows.are_enough:
            note = f"setting up takes too long for {length.needed_s:.1f} s of calls"
        self._keep(call_energy(self._windows.joined(), calls, note))

    def _once_more(self) -> float:
        """Set up, call and tear down once; return the seconds of the calls."""
        from pytest_benchmark.fixture import PauseInstrumentation

        args, kwargs = self._arguments
        if self._setup is not None:
            args, kwargs = self._setup() or (args, kwargs)
        runner = self._their_runner(self._target, args, kwargs)
        self._window = self._means.window()
        self._window.open()
        with PauseInstrumentation():
            duration = float(runner(range(self._iterations)))
        self._close_one(duration)
        if self._teardown is not None:
            self._teardown(*args, **kwargs)
        return duration

    def _is_alike(self, calls: int, seconds: float | None) -> bool:
        """Whether further calls took about as long as those of the rounds."""
        if seconds is None or not calls:
            return True
        data: Sequence[float] = self._stats.stats.data
        shortest, longest = min(data) / _ALIKE - _COLD_S, max(data) * _ALIKE + _COLD_S
        return shortest <= seconds / calls <= longest
