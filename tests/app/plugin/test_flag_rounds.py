"""Energy windows around what pytest-benchmark runs, with its own fixture and a meter of 100 W."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from pytest_benchmark.utils import NameWrapper
from support.clock_meter import ClockMeter

from energybench.app.plugin.rounds import Rounds
from energybench.app.plugin.rounds.hooked import Means
from energybench.energy.call_window import Length
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError
from energybench.records.calls import CallEnergy

WATTS = 100.0


def fixture_of(**options: Any) -> Any:
    """pytest-benchmark's fixture of one test."""
    settings = {
        "disable_gc": False,
        "timer": NameWrapper(time.perf_counter),
        "min_rounds": 5,
        "min_time": 0.000005,
        "max_time": 0.02,
        "precision": None,
        "confidence": 0.99,
        "warmup": False,
        "warmup_iterations": 100,
        "calibration_precision": 10,
        "cprofile": None,
        "cprofile_loops": 1,
        "cprofile_dump": None,
    }
    node = SimpleNamespace(name="test_it", nodeid="test_file.py::test_it")
    shared = {"add_stats": Mock(), "logger": Mock(), "warner": Mock(), "disabled": False}
    return BenchmarkFixture(node, **shared, **(settings | options))


class Watched:
    """A benchmark with energy windows, and what was kept of it."""

    def __init__(self, min_window_s: float = 0.0, repeats: int = 1, **options: Any) -> None:
        self.benchmark = fixture_of(**options)
        self.kept: list[CallEnergy] = []
        self.meter = ClockMeter(WATTS, min_window_s)
        meters = MeterSet({"clock": self.meter})
        means = Means(Length(meters, repeats), lambda: None)
        self.rounds = Rounds(self.benchmark, means, self.kept.append)

    @property
    def found(self) -> CallEnergy:
        return self.kept[-1]

    @property
    def stats(self) -> Any:
        return self.benchmark.stats.stats

    @property
    def is_charged_for_calls_alone(self) -> bool:
        """Whether the joules are those of the window, without what lies between the calls."""
        found = self.found
        expected = WATTS * (found.window_s - found.between_s) / found.calls
        return found.joules_per_call == pytest.approx(expected, rel=0.05)


def spin(seconds: float = 0.001) -> str:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return "done"


def counting(calls: list[int]) -> Callable[..., None]:
    """A function of 1 ms that notes its calls."""

    def call(value: int = 1) -> None:
        calls.append(value)
        spin()

    return call


def short(value: int = 0) -> int:
    return value


def test_the_joules_of_a_call_are_the_power_over_its_seconds() -> None:
    watched = Watched()
    assert watched.benchmark(spin, seconds=0.001) == "done"
    found = watched.found
    assert found.calls == watched.stats.rounds * watched.benchmark.stats.iterations
    assert found.joules_per_call == pytest.approx(WATTS * watched.stats.mean, rel=0.05)
    assert (found.further_calls, found.note, found.flags) == (0, None, [])


def test_the_loop_around_a_short_call_is_not_charged_to_it() -> None:
    watched = Watched(max_time=0.1)
    assert watched.benchmark(short, 7) == 7
    found = watched.found
    assert found.between_s > 0.0
    assert found.joules_per_call == pytest.approx(WATTS * watched.stats.mean, rel=0.1)


def test_a_short_window_goes_on_with_further_calls_that_no_statistics_see() -> None:
    watched = Watched(min_window_s=0.2)
    calls: list[int] = []
    watched.benchmark(counting(calls))
    found = watched.found
    assert found.window_s >= 0.2
    assert found.further_calls > 0
    assert found.calls == watched.stats.rounds + found.further_calls
    assert found.flags == []
    assert len(calls) >= found.calls + 1


def test_as_many_repeats_as_are_asked_for() -> None:
    watched = Watched(min_window_s=0.1, repeats=3)
    watched.benchmark(spin)
    assert len(watched.found.repeats) == 3
    assert min(watched.found.repeats) >= 0.99 * WATTS * 0.001  # no call is shorter


def test_rounds_of_a_warm_up_are_not_measured() -> None:
    watched = Watched(warmup=True)
    watched.benchmark(spin)
    assert watched.found.calls == watched.stats.rounds - 1


def test_one_round_after_a_warm_up_is_followed_by_further_calls() -> None:
    watched = Watched(warmup=True, min_rounds=1, max_time=0.0, min_window_s=0.02)
    watched.benchmark(spin)
    assert watched.stats.rounds == 1
    assert watched.found.calls == watched.found.further_calls > 0


def test_a_timer_of_other_time_leaves_the_whole_window_to_the_calls() -> None:
    watched = Watched(timer=NameWrapper(time.process_time), min_rounds=3, max_time=0.0)
    watched.benchmark(time.sleep, 0.01)
    assert watched.found.between_s == 0.0
    assert watched.found.joules_per_call == pytest.approx(WATTS * 0.01, rel=0.5)


def test_pytest_benchmark_times_the_tests_own_function_and_finds_its_fixture_as_before() -> None:
    watched = Watched()
    benchmark = watched.benchmark
    benchmark._make_runner = theirs = Mock(wraps=benchmark._make_runner)
    benchmark(short)
    theirs.assert_called_once_with(short, (), {})
    assert benchmark._make_runner is theirs
    assert "update" not in vars(benchmark.stats)


def test_what_the_function_raises_is_raised_and_no_energy_is_kept() -> None:
    watched = Watched()
    with pytest.raises(ZeroDivisionError):
        watched.benchmark(lambda: 1 / 0)
    assert watched.benchmark.has_error
    assert watched.kept == []


def test_a_function_that_cannot_be_called_on_keeps_its_rounds_and_the_reason() -> None:
    watched = Watched(min_window_s=1.0, max_time=0.0, min_rounds=2)
    box = list(range(50))

    def take() -> int:
        spin()
        return box.pop()

    with pytest.raises(IndexError):  # its own last call
        watched.benchmark(take)
    assert watched.found.note == "cannot be called again: IndexError: pop from empty list"
    assert watched.found.flags == ["short_window"]


def test_a_profile_shows_the_tests_own_function() -> None:
    watched = Watched(cprofile=True, max_time=0.0)
    watched.benchmark(short, 3)
    functions = {name for _, _, name in watched.benchmark.stats.cprofile_stats.stats}
    assert "short" in functions
    assert "last" not in functions
    assert watched.found.calls == watched.stats.rounds * watched.benchmark.stats.iterations


def test_a_pedantic_benchmark_makes_its_own_calls_within_its_test_and_others_after_it() -> None:
    watched = Watched(min_window_s=0.2)
    runs: list[int] = []
    watched.benchmark.pedantic(counting(runs), args=(5,), rounds=4, iterations=3, warmup_rounds=2)
    assert runs == [5] * (6 * 3 + 1)
    assert watched.found.calls == 12
    assert watched.found.flags == ["short_window"]
    watched.rounds.finish()
    found = watched.found
    assert found.calls == found.further_calls == len(runs) - 19
    assert found.window_s >= 0.2
    assert watched.is_charged_for_calls_alone
    assert found.note is None


def test_a_pedantic_benchmark_that_is_long_enough_is_left_alone() -> None:
    watched = Watched(min_window_s=0.01)
    runs: list[int] = []
    watched.benchmark.pedantic(counting(runs), rounds=20)
    watched.rounds.finish()
    assert len(runs) == watched.found.calls == 20
    assert watched.found.joules_per_call == pytest.approx(WATTS * watched.stats.mean, rel=0.2)


def test_what_its_test_calls_once_is_not_called_again_and_says_so() -> None:
    watched = Watched(min_window_s=0.2)
    runs: list[int] = []
    watched.benchmark.pedantic(runs.append, args=(1,))
    watched.rounds.finish()
    assert runs == [1]
    assert watched.found.note == "called once, as its test asks"


def test_setup_and_teardown_are_outside_of_the_windows() -> None:
    watched = Watched(min_window_s=0.06)
    made: list[int] = []
    torn: list[int] = []

    def setup() -> tuple[tuple[int], dict[str, Any]]:
        time.sleep(0.02)
        made.append(len(made))
        return (made[-1],), {}

    def teardown(number: int) -> None:
        time.sleep(0.02)
        torn.append(number)

    def target(number: int) -> int:
        assert number == made[-1]
        spin(0.005)
        return number

    assert watched.benchmark.pedantic(target, setup=setup, teardown=teardown, rounds=3) == 2
    assert made == torn == [0, 1, 2]
    assert watched.found.further_calls == 0
    watched.rounds.finish()
    found = watched.found
    assert found.window_s >= 0.06
    assert 1 <= found.calls - found.further_calls <= 3  # a round that was held up is a long one
    assert found.further_calls + 3 == len(made) == len(torn)
    assert watched.is_charged_for_calls_alone
    assert "short_window" in found.flags  # no single call is long enough


def test_long_rounds_with_a_setup_have_windows_of_their_own() -> None:
    watched = Watched(min_window_s=0.05)
    watched.benchmark.pedantic(spin, args=(0.02,), setup=lambda: None, rounds=4)
    watched.rounds.finish()
    assert (watched.found.calls, watched.found.further_calls) == (4, 0)
    assert watched.is_charged_for_calls_alone


def test_short_rounds_with_a_setup_are_not_disturbed() -> None:
    watched = Watched()
    watched.benchmark.pedantic(spin, setup=lambda: None, rounds=10)
    assert watched.meter.reads == 2  # around the first
    assert watched.found.calls == 1


def test_a_target_that_is_another_after_its_test_is_not_measured_again() -> None:
    watched = Watched(min_window_s=0.2)
    acts: list[Callable[[], object]] = [spin]
    watched.benchmark.pedantic(lambda: acts[0](), rounds=5)
    acts[0] = lambda: None
    watched.rounds.finish()
    assert watched.found.note == "after its test it takes another time"
    assert watched.found.calls == 5


@pytest.mark.parametrize("setup", [None, lambda: None])
def test_a_target_that_raises_after_its_test_keeps_its_rounds(
    setup: Callable[[], None] | None,
) -> None:
    watched = Watched(min_window_s=0.2)
    box = [1, 2, 3]
    watched.benchmark.pedantic(lambda: (spin(), box.pop()), rounds=3, setup=setup)
    watched.rounds.finish()
    assert watched.found.note == "cannot be called again: IndexError: pop from empty list"
    assert watched.found.calls == (1 if setup else 3)
    assert watched.found.further_calls == 0
    assert watched.is_charged_for_calls_alone


def test_a_setup_that_takes_for_ever_ends_the_further_calls() -> None:
    watched = Watched(min_window_s=0.02)
    watched.benchmark.pedantic(short, setup=lambda: time.sleep(0.05))
    before = time.perf_counter()
    watched.rounds.finish()
    assert time.perf_counter() - before < 2.0
    assert watched.found.note == "setting up takes too long for 0.0 s of calls"


def test_a_round_that_raises_ends_its_window() -> None:
    watched = Watched()
    with pytest.raises(ZeroDivisionError):
        watched.benchmark.pedantic(lambda: 1 / 0, rounds=3)
    watched.rounds.finish()
    assert watched.kept == []


def test_wrong_arguments_are_refused_as_without_us() -> None:
    watched = Watched()
    with pytest.raises(ValueError, match="rounds"):
        watched.benchmark.pedantic(short, rounds="x")


def test_a_fixture_with_other_insides_is_refused_in_one_line() -> None:
    means = Means(Length(MeterSet({}), 1), lambda: None)
    with pytest.raises(UsageError, match="version of pytest-benchmark is not known"):
        Rounds(SimpleNamespace(_raw=None), means, Mock())


def test_without_meters_the_reason_is_kept_and_nothing_is_called_again() -> None:
    benchmark, kept = fixture_of(), list[CallEnergy]()
    meters = MeterSet({}, {"rapl": "no counters"})
    Rounds(benchmark, Means(Length(meters, 1), lambda: None), kept.append)
    benchmark(short)
    assert kept[-1].joules_per_call is None
    assert kept[-1].why_missing == "rapl: no counters"
    assert kept[-1].further_calls == 0
