"""What pytest-benchmark runs for one test, within energy windows.

This module alone knows the insides of its fixture (version 5.3.1). `_raw` and `_raw_pedantic` make a
runner of the target by `_make_runner` and a list of timings by `_make_stats`; the runner times a
round, and the list's `update` takes its seconds. The windows open and close between rounds. No call
is wrapped, and nothing of ours runs within the seconds of a round.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from energybench.energy.call_window import CallWindow, joined, needed_s, repeat_s
from energybench.errors import UsageError
from energybench.records.calls import CallEnergy, call_energy

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from energybench.energy.per_call import PerCall
    from energybench.energy.windows import MeterSet

WALL_CLOCKS = (time.perf_counter, time.monotonic, time.time)
"""Timers whose seconds can be told from those of a window; others count other time."""
_INSIDES = ("_raw", "_raw_pedantic", "_make_runner", "_make_stats", "_timer", "cprofile")
_MOST = 10
"""Further calls end after this many times the seconds that they should take."""
_FREE_S = 1.0
"""Seconds that the windows of a pedantic benchmark's rounds may always take, however short the
rounds are; beyond it, at most as many as the rounds themselves."""
_ALIKE = 2.0
"""Calls after a test that differ more than this from those within it, as a factor, are others."""
_CLOCK_S = 1e-6
"""Seconds that reading a clock may add to a round."""


@dataclass(frozen=True)
class Means:
    """What measures the calls of all tests of a session."""

    meters: "MeterSet"
    synchronize: Callable[[], None]
    repeats: int

    @property
    def needed_s(self) -> float:
        """The least seconds of the windows of one test."""
        return needed_s(self.meters, self.repeats)

    def window(self) -> CallWindow:
        """Return a window that has not begun."""
        return CallWindow(self.meters, self.synchronize)


class Rounds:
    """The rounds of one test's benchmark; they have energy windows from now on.

    `keep` is given the energy per call: at the end of the benchmark, and again after `finish`.
    Raises `UsageError` for a fixture with other insides.
    """

    def __init__(
        self, benchmark: "BenchmarkFixture", means: Means, keep: Callable[[CallEnergy], None]
    ) -> None:
        if not all(hasattr(benchmark, name) for name in _INSIDES):
            raise UsageError("this version of pytest-benchmark is not known; upgrade energybench")
        self._benchmark, self._means, self._keep = benchmark, means, keep
        self._later: Callable[[], None] | None = None
        theirs: Any = benchmark
        self._raw, self._raw_pedantic = theirs._raw, theirs._raw_pedantic
        theirs._raw, theirs._raw_pedantic = self._free, self._pedantic

    def finish(self) -> None:
        """Call a pedantic benchmark's target again if the meters need it; its test has ended."""
        later, self._later = self._later, None
        if later is not None:
            later()

    def _free(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        rounds = _Free(self._benchmark, self._means, self._keep)
        return rounds.run(self._raw, function, args, kwargs)

    def _pedantic(self, target: Callable[..., Any], **asked: Any) -> Any:
        __tracebackhide__ = True
        rounds = _Pedantic(self._benchmark, self._means, self._keep, target, asked)
        result = rounds.run(self._raw_pedantic, asked)
        self._later = rounds.later
        return result


class _Tally:
    """Calls and their seconds, from pytest-benchmark's list of timings and of further calls."""

    def __init__(self, stats: Any, wall_clock: bool) -> None:
        self._data: list[float] = stats.stats.data
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


class _Hooked:
    """One benchmark, with our functions in place of those that make its runner and its list."""

    def __init__(
        self, benchmark: Any, means: Means, keep: Callable[[CallEnergy], None]
    ) -> None:
        self._benchmark, self._means, self._keep = benchmark, means, keep
        self._window = means.window()
        self._wall_clock = benchmark._timer in WALL_CLOCKS
        self._make_runner, self._make_stats = benchmark._make_runner, benchmark._make_stats
        self._stats: Any = None

    def _hooked(self, run: Callable[[], Any]) -> Any:
        __tracebackhide__ = True
        benchmark = self._benchmark
        benchmark._make_runner, benchmark._make_stats = self.make_runner, self.make_stats
        try:
            return run()
        finally:
            benchmark._make_runner, benchmark._make_stats = self._make_runner, self._make_stats
            if self._stats is not None:
                vars(self._stats).pop("update", None)
            if self._window.is_open:
                self._window.abandon()

    def make_runner(self, function: Any, args: Any, kwargs: Any) -> Any:
        raise NotImplementedError

    def make_stats(self, iterations: int) -> Any:
        """Make the list of timings; each round then ends in `update`."""
        stats = self._stats = self._make_stats(iterations)
        self._tally = _Tally(stats, self._wall_clock)
        theirs = stats.update
        ours = self.updated

        def update(duration: float) -> None:
            theirs(duration)
            ours(duration)

        stats.update = update
        return stats

    def updated(self, duration: float) -> None:
        raise NotImplementedError


class _Free(_Hooked):
    """`benchmark(function)`: pytest-benchmark chooses how often to call, and so may we.

    One window lasts from the first round to the last, and on through further calls by
    pytest-benchmark's own runner. It ends before the last, untimed call, whose result the test
    gets: that one is made by a function of ours.
    """

    def run(self, raw: Callable[..., Any], function: Any, args: Any, kwargs: Any) -> Any:
        """Do what `raw` does; raises what the function raises."""
        __tracebackhide__ = True

        def last(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            self._end()
            return function(*args, **kwargs)

        self._function, self._last = function, last
        called = function if self._benchmark.cprofile else last  # a profile shows what it is given

        def run() -> Any:
            __tracebackhide__ = True
            result = raw(called, *args, **kwargs)
            self._end()
            return result

        return self._hooked(run)

    def make_runner(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Make the runner of the test's own function."""
        function = self._function if function is self._last else function
        self._runner = self._make_runner(function, args, kwargs)
        return self._runner

    def make_stats(self, iterations: int) -> Any:
        """Make the list of timings; the rounds follow, unless others warm up first."""
        stats = super().make_stats(iterations)
        if not self._benchmark._warmup:
            self._window.open()
        return stats

    def updated(self, duration: float) -> None:
        """End a repeat where it is long enough; after a warm-up, begin after the first round."""
        if time.perf_counter() < self._window.due:
            return
        if self._window.is_open:
            self._window.mark(*self._tally())
        else:
            self._tally = _Tally(self._stats, self._wall_clock)
            self._window.open()

    def _end(self) -> None:
        if not self._window.is_open:
            return
        mean_s = self._stats.stats.mean
        note = _call_again(self._runner, self._window, self._tally, self._means, mean_s)
        calls, timed_s = self._tally()
        if calls:
            found = self._window.close(calls, timed_s)
            self._keep(call_energy(found, self._tally.further, note))
        else:
            self._window.abandon()


def _call_again(
    runner: Any, window: CallWindow, tally: _Tally, means: Means, mean_s: float
) -> str | None:
    """Go on calling in an open window until it is long enough; return why that was not possible."""
    from pytest_benchmark.fixture import PauseInstrumentation

    needed, piece_s = means.needed_s, repeat_s(means.meters) / 4
    mean_s = max(mean_s, 1e-8)
    most = int(_MOST * needed / mean_s) + _MOST
    try:
        with PauseInstrumentation():
            while (left_s := needed - window.elapsed_s) > 0.0 and tally.further < most:
                calls = max(1, int(min(left_s, piece_s) / mean_s))
                tally.add(calls, runner(range(calls)))
                if time.perf_counter() >= window.due:
                    window.mark(*tally())
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
        return _not_again(error)
    return None


def _not_again(error: BaseException) -> str:
    what = " ".join(str(error).split())
    return f"cannot be called again: {type(error).__name__}{': ' if what else ''}{what}"


class _Pedantic(_Hooked):
    """`benchmark.pedantic(target, ...)`: the test chooses how often to call.

    Without setup and teardown one window lasts from the first round to the last. With one of them
    each round has a window of its own, so that neither is in it. Further calls are made by `later`,
    after the test's function has ended, so that the test finds as many calls as it asked for.
    """

    def __init__(
        self,
        benchmark: Any,
        means: Means,
        keep: Callable[[CallEnergy], None],
        target: Any,
        asked: Mapping[str, Any],
    ) -> None:
        super().__init__(benchmark, means, keep)
        self._target = target
        self._arguments = (asked.get("args", ()), asked.get("kwargs") or {})
        self._setup, self._teardown = asked.get("setup"), asked.get("teardown")
        self._rounds, self._iterations = asked.get("rounds", 1), asked.get("iterations", 1)
        self._warmup_rounds = asked.get("warmup_rounds", 0)
        self._apart = self._setup is not None or self._teardown is not None
        self._made = 0
        self._windows: list[PerCall] = []
        self._windows_s = self._rounds_s = 0.0
        self.later: Callable[[], None] | None = None
        """Calls the target again; None where the meters do not need it, or the test forbids it."""

    def run(self, raw: Callable[..., Any], asked: Mapping[str, Any]) -> Any:
        """Do what `raw` does; raises what the target raises."""
        __tracebackhide__ = True
        result = self._hooked(lambda: raw(self._target, **asked))
        if self._windows:
            self._end()
        return result

    def make_runner(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Make the runner of one round; it follows at once."""
        runner = self._make_runner(function, args, kwargs)
        self._made += 1
        warm = self._made > self._warmup_rounds
        if warm and not self._window.is_open and self._windows_s <= max(_FREE_S, self._rounds_s):
            self._open()
        return runner

    def _open(self) -> None:
        before = time.perf_counter()
        self._window = self._means.window()
        self._window.open()
        self._windows_s += time.perf_counter() - before

    def _close(self, calls: int, timed_s: float | None) -> None:
        before = time.perf_counter()
        self._windows.append(self._window.close(calls, timed_s))
        self._windows_s += time.perf_counter() - before

    def updated(self, duration: float) -> None:
        """End the window of a round, or of all rounds, or a repeat."""
        self._rounds_s += duration
        if not self._window.is_open:
            return
        if self._apart:
            self._close(self._iterations, duration if self._wall_clock else None)
        elif len(self._stats.stats.data) >= self._rounds:
            self._close(*self._tally())
        elif time.perf_counter() >= self._window.due:
            self._window.mark(*self._tally())

    def _end(self) -> None:
        note = None
        if sum(one.reading.duration_s for one in self._windows) < self._means.needed_s:
            if self._setup is not None or self._made > 1 or self._iterations > 1:
                self.later = self._again_apart if self._apart else self._again
            else:
                note = "called once, as its test asks"
        self._keep(call_energy(self._found(), note=note))

    def _found(self) -> "PerCall":
        if len(self._windows) == 1:
            return self._windows[0]
        return joined(self._windows, repeat_s(self._means.meters))

    def _again(self) -> None:
        """Measure further calls in one window; they replace the rounds, which were too few."""
        runner = self._make_runner(self._target, *self._arguments)
        window, tally = self._means.window(), _Tally(self._stats, self._wall_clock)
        window.open()
        note = _call_again(runner, window, tally, self._means, self._stats.stats.mean)
        if note is None and not self._alike(tally()[1], tally.further):
            note = "called again, it takes another time after its test"
        if note is None:
            found = window.close(*tally())
            self._keep(call_energy(found, tally.further))
        else:
            window.abandon()
            self._keep(call_energy(self._found(), note=note))

    def _again_apart(self) -> None:
        """Measure further calls, each in a window of its own, beside those of the rounds."""
        needed, rounds = self._means.needed_s, list(self._windows)
        done_s = sum(one.reading.duration_s for one in rounds)
        end, note, further, seconds = time.perf_counter() + _MOST * needed, None, 0, 0.0
        try:
            while done_s < needed and time.perf_counter() < end:
                seconds += self._once_more()
                further += self._iterations
                done_s += self._windows[-1].reading.duration_s
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            note = _not_again(error)
        finally:
            if self._window.is_open:
                self._window.abandon()
        if further and not self._alike(seconds if self._wall_clock else None, further):
            note = "called again, it takes another time after its test"
        if note is not None:
            self._windows, further = rounds, 0
        elif done_s < needed:
            note = f"its setup takes too long for {needed:.1f} s of calls"
        self._keep(call_energy(self._found(), further, note))

    def _once_more(self) -> float:
        """Set up, call and tear down once; return the seconds of the calls."""
        from pytest_benchmark.fixture import PauseInstrumentation

        args, kwargs = self._arguments
        if self._setup is not None:
            args, kwargs = self._setup() or (args, kwargs)
        runner = self._make_runner(self._target, args, kwargs)
        self._open()
        with PauseInstrumentation():
            several = self._iterations > 1
            duration = runner(range(self._iterations)) if several else runner(None)[0]
        self._close(self._iterations, duration if self._wall_clock else None)
        if self._teardown is not None:
            self._teardown(*args, **kwargs)
        return float(duration)

    def _alike(self, seconds: float | None, calls: int) -> bool:
        """Whether further calls took about as long as the rounds of the test."""
        data: Sequence[float] = self._stats.stats.data
        if seconds is None:
            return True
        mean_s = seconds / calls
        shortest, longest = min(data) / _ALIKE - _CLOCK_S, max(data) * _ALIKE + _CLOCK_S
        return shortest <= mean_s <= longest
