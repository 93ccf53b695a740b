"""Does `--energy` change the times that pytest-benchmark reports? Benchmarks with and without it.

    pytest -s benchmarks/test_instruments_flag.py

Goals: less than 1 % for a function of 1 ms, and nothing beyond the noise for one of 1 us. In each
turn a function is benchmarked once with energy windows and twice without, in random order and
briefly, so that drift favours neither. The meters are this machine's, open all the time as in a
session. Further calls are left out: they follow the times. Few rounds make much of the one after
the meters were read. A change is the median over the turns of the time with windows over that
without, less 1; the noise is the same between the two without. The 95 % intervals are those of a
median, by the binomial distribution of ranks.
"""

import math
import random
import statistics
import time
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from pytest_benchmark.utils import NameWrapper

from energybench.app.plugin.rounds import Rounds
from energybench.app.plugin.rounds.hooked import Means
from energybench.energy.call_window import Length
from energybench.energy.opening import open_meters
from energybench.energy.per_call import PerCall

TURNS = 300
GOAL = 0.01
FIGURES = ("min", "median", "mean")
NUMBERS = list(range(200))


def one_us(benchmark):
    """`benchmark(fn)` of about 1 us."""
    benchmark(sum, NUMBERS)


def one_ms(benchmark):
    """`benchmark(fn)` of about 1 ms."""
    benchmark(sum, range(60_000))


def one_ms_with_setup(benchmark):
    """`benchmark.pedantic` of about 1 ms, with a setup before each round."""
    benchmark.pedantic(sum, setup=lambda: ((range(60_000),), {}), rounds=30)


def times(run, means: Means | None = None) -> dict[str, float]:
    """The seconds that pytest-benchmark reports for `run`, with energy windows if `means` is given.

    The options are pytest-benchmark's defaults, but 0.03 seconds of rounds.
    """
    asked = {"min_rounds": 5, "min_time": 0.000005, "max_time": 0.03, "calibration_precision": 10}
    off = {"disable_gc": False, "precision": None, "confidence": 0.99, "warmup": False}
    profile = {"cprofile": None, "cprofile_loops": 1, "cprofile_dump": None}
    given = {"timer": NameWrapper(time.perf_counter), "warmup_iterations": 1, "disabled": False}
    shared = {"add_stats": Mock(), "logger": Mock(), "warner": Mock()}
    node = SimpleNamespace(name=run.__name__, nodeid=run.__name__)
    benchmark = BenchmarkFixture(node, **asked, **off, **profile, **given, **shared)
    kept = []
    rounds = Rounds(benchmark, means, kept.append) if means else None
    run(benchmark)
    if rounds is not None:
        rounds.finish()
        assert kept[-1].calls
    return {name: getattr(benchmark.stats.stats, name) for name in FIGURES}


class RoundsAlone(Length):
    """A length that pytest-benchmark's own rounds always have."""

    def left_s(self, elapsed_s: float, repeats: int, repeat_left_s: float) -> float:
        """No further calls."""
        return 0.0

    def is_reached_by(self, found: PerCall) -> bool:
        """None after the test, either."""
        return True


@pytest.fixture(scope="module")
def means():
    """This machine's meters, some seconds after their opening."""
    with open_meters(("auto",)) as meters:
        time.sleep(2.0)
        yield Means(RoundsAlone(meters, 1), lambda: None)


@pytest.mark.parametrize("run", [one_us, one_ms, one_ms_with_setup])
def test_times_with_and_without_energy(benchmark, means, run, tell):
    """Compare the medians over all turns."""
    kinds = {"without": None, "again": None, "with": means}
    found = {kind: [] for kind in kinds}

    def turn() -> None:
        for kind in random.sample(list(kinds), len(kinds)):
            found[kind].append(times(run, kinds[kind]))

    benchmark.pedantic(turn, rounds=TURNS)
    for name in FIGURES:
        without, again, ours = ([one[name] for one in found[kind]] for kind in kinds)
        tell(**{f"{name}_s": statistics.median(without)})
        change, low, high = median_change(ours, without, again)
        tell(**{f"{name}_change": change, "low": low, "high": high})
        noise, least, most = median_change(again, without)
        tell(**{f"{name}_noise": noise, "low_noise": least, "high_noise": most})
        if name == "median":
            assert low < (0.0 if run is one_us else GOAL)


def median_change(ours, *others) -> tuple[float, float, float]:
    """The median of the ratios to the mean of `others`, less 1, and the ends of its interval."""
    theirs = [statistics.fmean(values) for values in zip(*others, strict=True)]
    ratios = sorted(one / other - 1.0 for one, other in zip(ours, theirs, strict=True))
    ranks = 0.98 * math.sqrt(len(ratios))  # 1.96 standard deviations of sqrt(n) / 2
    low, high = (round(len(ratios) / 2 + side * ranks) for side in (-1, 1))
    return statistics.median(ratios), ratios[low], ratios[min(high, len(ratios) - 1)]
