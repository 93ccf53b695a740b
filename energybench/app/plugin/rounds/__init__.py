"""What pytest-benchmark runs for one test, within energy windows.

This package alone knows the insides of its fixture (version 5.3.1). `_raw` and `_raw_pedantic` make
a runner of the target by `_make_runner` and a list of timings by `_make_stats`; the runner times a
round, and the list's `update` takes its seconds. The windows open and close between rounds. No call
is wrapped, and nothing of ours runs within the seconds of a round.
"""

from collections.abc import Callable
from typing import Any

from energybench.app.plugin.rounds.free import Free
from energybench.app.plugin.rounds.hooked import Keep, Means
from energybench.app.plugin.rounds.pedantic import Pedantic
from energybench.errors import UsageError

_INSIDES = ("_raw", "_raw_pedantic", "_make_runner", "_make_stats", "_timer", "_warmup", "cprofile")


class Rounds:
    """The rounds of one test's benchmark; they have energy windows from now on.

    `benchmark` is pytest-benchmark's fixture. `keep` is given the energy per call: at the end of
    the benchmark, and perhaps again in `finish`. Raises `UsageError` for a fixture with other
    insides.
    """

    def __init__(self, benchmark: Any, means: Means, keep: Keep) -> None:
        if not all(hasattr(benchmark, name) for name in _INSIDES):
            raise UsageError("this version of pytest-benchmark is not known; upgrade energybench")
        self._benchmark, self._means, self._keep = benchmark, means, keep
        self._later: Callable[[], None] | None = None
        self._raw, self._raw_pedantic = benchmark._raw, benchmark._raw_pedantic
        benchmark._raw, benchmark._raw_pedantic = self._free, self._pedantic

    def finish(self) -> None:
        """Call a pedantic benchmark's target again if the meters need it; its test has ended."""
        later, self._later = self._later, None
        if later is not None:
            later()

    def _free(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        rounds = Free(self._benchmark, self._means, self._keep)
        return rounds.run(self._raw, function, args, kwargs)

    def _pedantic(self, target: Callable[..., Any], **asked: Any) -> Any:
        __tracebackhide__ = True
        rounds = Pedantic(self._benchmark, self._means, self._keep, target, asked)
        result = rounds.run(self._raw_pedantic)
        self._later = rounds.later
        return result
