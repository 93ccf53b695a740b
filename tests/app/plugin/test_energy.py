"""The fixture `energy` in somebody else's tests."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.locks import holding
from support.replay import TRACE

CODECARBON = ("--energy-meter=codecarbon", "-oenergy_replay=")
SUM = """
def test_sum(benchmark, energy):
    assert energy(benchmark, sum, range(1000), start=1) == 499501
"""


@pytest.fixture
def elsewhere(session: pytest.Pytester) -> pytest.Pytester:
    session.makepyfile(test_bench=SUM)
    return session


def extra(path: Path) -> dict[str, Any]:
    (entry,) = json.loads(path.read_text())["benchmarks"]
    found: dict[str, Any] = entry["extra_info"]["energy"]
    return found


def test_joules_per_call_beside_the_seconds(elsewhere: pytest.Pytester) -> None:
    result = elsewhere.runpytest_subprocess("--benchmark-json=out.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*energybench: energy per call*", "test_bench.py::test_sum*J*replay*"]
    )
    found = extra(elsewhere.path / "out.json")
    share = 1.0 - found["between_s"] / found["window_s"]
    whole = found["watts"] * found["window_s"]
    assert whole / 50.0 == pytest.approx(round(whole / 50.0))  # 50 J per read of the trace
    assert found["joules_per_call"] * found["calls"] == pytest.approx(whole * share)
    assert found["domains"] == {"cpu:0": found["joules_per_call"]}
    assert found["sources"] == {"cpu:0": "replay"}
    assert "short_window" not in found["flags"]


def test_calls_are_repeated_until_the_source_resolves_them(elsewhere: pytest.Pytester) -> None:
    result = elsewhere.runpytest_subprocess(
        *CODECARBON,
        "--energy-ram-watts=3",
        "--benchmark-json=out.json",
        "--benchmark-max-time=0.1",
    )
    result.assert_outcomes(passed=1)
    found = extra(elsewhere.path / "out.json")
    assert found["window_s"] >= 1.0
    assert found["calls"] > 1000
    assert "short_window" not in found["flags"]
    assert found["sources"] == {
        "cpu:estimate": "codecarbon_estimate",
        "dram:estimate": "declared_estimate",
    }
    assert 0.0 < found["joules_per_call"] < 0.1
    assert found["watts"] * (found["window_s"] - found["between_s"]) == pytest.approx(
        found["joules_per_call"] * found["calls"]
    )


def test_disabled_benchmarks_run_once_and_measure_nothing(elsewhere: pytest.Pytester) -> None:
    elsewhere.makepyfile(
        test_bench="""
calls = []

def test_once(benchmark, energy):
    assert energy(benchmark, lambda: calls.append(1)) is None
    assert calls == [1]
    assert "energy" not in benchmark.extra_info
"""
    )
    result = elsewhere.runpytest_subprocess("--benchmark-disable")
    result.assert_outcomes(passed=1)
    assert "energy per call" not in result.stdout.str()


def test_a_meter_that_is_not_there_fails_the_test_in_one_line(elsewhere: pytest.Pytester) -> None:
    elsewhere.makeini("[pytest]\nenergy_meter = rapl\n")
    result = elsewhere.runpytest_subprocess(env_without_rapl(elsewhere))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*meter rapl is not available: no RAPL counters in *"])


def env_without_rapl(session: pytest.Pytester) -> str:
    """A plugin argument that points RAPL at an empty tree, whatever this machine has."""
    (session.path / "no_rapl.py").write_text(
        "from energybench.energy.meters import rapl\n"
        f"rapl.RaplMeter.__init__.__defaults__ = ({str(session.path / 'nothing')!r},)\n"
    )
    session.syspathinsert()
    return "-pno_rapl"


def test_cells_and_functions_share_one_lock_and_one_set_of_meters(
    session: pytest.Pytester,
) -> None:
    session.makepyfile(test_sum=SUM)
    result = session.runpytest_subprocess("--energy-no-wait", "--energy-max-epochs=1")
    result.assert_outcomes(passed=3)


def test_a_block_measured_inside_a_test_of_the_fixture_does_not_wait_for_itself(
    elsewhere: pytest.Pytester,
) -> None:
    elsewhere.makepyfile(
        test_bench=f"""
import energybench

def test_block(benchmark, energy):
    energy(benchmark, sum, range(10))
    with energybench.measure(meters="replay", replay={TRACE!r}, wait=False) as window:
        pass
    assert window.it_joules == 50.0
"""
    )
    elsewhere.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_test_that_may_not_wait_for_the_machine_names_the_option(
    elsewhere: pytest.Pytester, cache: Path
) -> None:
    with holding("cpu", cache) as holder:
        result = elsewhere.runpytest_subprocess("--energy-no-wait")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [f"*(process {holder}); let it end first, or wait for it without --energy-no-wait"]
    )


def test_a_call_that_is_slow_is_not_repeated_for_long(elsewhere: pytest.Pytester) -> None:
    elsewhere.makepyfile(
        test_bench="""
import time

calls = []

def test_slow(benchmark, energy):
    benchmark._min_rounds, benchmark._max_time = 1, 0.0
    energy(benchmark, lambda: (calls.append(1), time.sleep(0.6)))
    assert benchmark.extra_info["energy"]["calls"] == 2
"""
    )
    elsewhere.runpytest_subprocess(*CODECARBON).assert_outcomes(passed=1)
