"""`benchmark(function)`: pytest-benchmark chooses how often to call, and so may we."""

import time
from collections.abc import Callable
from typing import Any

from energybench.app.plugin.rounds.hooked import Hooked, Tally, call_again
from energybench.records.calls import call_energy


class Free(Hooked):
    """One window lasts from the first round to the last, and on through further calls.

    It ends before the last, untimed call, whose result the test gets: pytest-benchmark makes that
    one through a function of ours. The runner gets the test's own function.
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

        return self._with_hooks(run)

    def _make_runner(self, function: Any, args: Any, kwargs: Any) -> Any:
        function = self._function if function is self._last else function
        self._runner = self._their_runner(function, args, kwargs)
        return self._runner

    def _make_stats(self, iterations: int) -> Any:
        stats = super()._make_stats(iterations)
        if not self._benchmark._warmup:  # else rounds of a warm-up follow
            self._window.open()
        return stats

    def _after_round(self, duration: float) -> None:
        if time.perf_counter() < self._window.due:
            return
        if self._window.is_open:
            self._window.mark(*self._tally())
        else:  # the first round after a warm-up
            self._tally = Tally(self._stats, self._wall_clock)
            self._window.open()

    def _end(self) -> None:
        if not self._window.is_open:
            return
        mean_s = self._stats.stats.mean
        note = call_again(self._runner, self._window, self._tally, self._means.length, mean_s)
        calls, timed_s = self._tally()
        if calls:
            found = self._window.close(calls, timed_s)
            self._keep(call_energy(found, self._tally.further, note))
        else:
            self._window.abandon()
