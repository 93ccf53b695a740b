"""`pytest --energy` over a suite that knows nothing of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.locks import holding

SUITE = """
import asyncio
import time
import unittest

import pytest

calls = []

def spin(seconds=0.001):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds

def test_free(benchmark):
    assert benchmark(spin) == 0.001

@pytest.mark.parametrize("rounds", [3])
def test_pedantic(benchmark, rounds):
    benchmark.pedantic(calls.append, args=(1,), rounds=rounds)
    assert calls == [1] * 3

class TestInAClass:
    @pytest.fixture
    def mine(self, benchmark):
        return benchmark

    def test_method(self, mine):
        mine(spin)

class TestOfUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _given(self, benchmark):
        self.benchmark = benchmark

    def test_case(self):
        self.benchmark(spin)

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_async(benchmark, anyio_backend):
    assert benchmark(spin) == 0.001

def test_coroutine(benchmark):
    async def coroutine():
        await asyncio.sleep(0)
    benchmark.pedantic(lambda: asyncio.run(coroutine()), rounds=2)

def test_failing(benchmark):
    with pytest.raises(ZeroDivisionError):
        benchmark(lambda: 1 / 0)

def test_both(benchmark, energy):
    assert energy(benchmark, spin) == 0.001

def test_none():
    pass
"""
QUICK = ("--benchmark-max-time=0.01", "-p", "no:cacheprovider")


@pytest.fixture
def suite(session: pytest.Pytester) -> pytest.Pytester:
    """A foreign suite; energy is replayed."""
    session.makepyfile(test_bench=SUITE)
    return session


def extras(path: Path) -> dict[str, dict[str, Any]]:
    return {
        entry["name"]: entry["extra_info"]["energy"]
        for entry in json.loads(path.read_text())["benchmarks"]
    }


def test_every_benchmark_of_any_suite_has_joules(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess(
        "--energy",
        "--energy-sort=name",
        "--energy-columns=joules,source",
        "--benchmark-json=out.json",
        *QUICK,
    )
    result.assert_outcomes(passed=9)
    table = result.stdout.str().partition("energybench: energy per call")[2].splitlines()
    assert table[1].split() == ["test", "joules", "source"]
    names = [line.split()[0].partition("::")[2] for line in table[3:10]]
    assert names == sorted(names)
    found = extras(suite.path / "out.json")
    assert set(found) == {
        *("test_free", "test_pedantic[3]", "test_method", "test_case"),
        *("test_async[asyncio]", "test_coroutine", "test_both"),
    }
    for energy in found.values():
        assert energy["joules_per_call"] > 0.0
        assert energy["sources"] == {"cpu:0": "replay"}


def test_the_ini_key_and_a_saved_run_that_took_less(suite: pytest.Pytester) -> None:
    with (suite.path / "tox.ini").open("a") as ini:
        ini.write("\nenergy = true\n")
    select = ("-k", "free or method", *QUICK)
    suite.runpytest_subprocess("--benchmark-autosave", *select).assert_outcomes(passed=2)
    (saved,) = Path(suite.path, ".benchmarks").rglob("*.json")
    data = json.loads(saved.read_text())
    for entry in data["benchmarks"]:
        if entry["name"] == "test_free":
            entry["extra_info"]["energy"]["joules_per_call"] /= 1e6
            entry["extra_info"]["energy"]["repeats"] = []
        else:
            entry["extra_info"]["energy"]["sources"] = {"cpu:0": "codecarbon_estimate"}
    saved.write_text(json.dumps(data))
    result = suite.runpytest_subprocess(
        "--energy-compare", "--energy-compare-fail=joules:10%", *select
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*energybench: energy per call against 0001_*",
            "not compared: test_bench.py::TestInAClass::test_method (* is estimated: "
            "codecarbon_estimate, this run is replayed: replay); measure both in one way",
            "worse than allowed: test_bench.py::test_free in this run: joules +*, limit 10 %*",
        ]
    )


def test_cells_and_other_benchmarks_stand_side_by_side(session: pytest.Pytester) -> None:
    session.makepyfile(test_other="def test_sum(benchmark):\n    benchmark(sum, [1, 2])\n")
    result = session.runpytest_subprocess("--energy", "--energy-max-epochs=1", *QUICK)
    result.assert_outcomes(passed=3)
    lines = ["*energy per call*", "test_other.py::test_sum*", "*fine-tuning*", "tiny *stego*"]
    result.stdout.fnmatch_lines(lines)
    assert "test_finetune" not in result.stdout.str().partition("energy per call")[2]


@pytest.mark.parametrize("switch", ["--benchmark-disable", "--benchmark-skip"])
def test_where_benchmarks_are_switched_off_a_line_says_so(
    suite: pytest.Pytester, switch: str
) -> None:
    result = suite.runpytest_subprocess("--energy", "-k", "free or none", switch, *QUICK)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["energybench: --energy measured nothing: benchmarks are switched off; leave out " + switch]
    )
    assert "energy per call" not in result.stdout.str()


def test_without_a_meter_tests_run_and_a_line_says_why(suite: pytest.Pytester, cache: Path) -> None:
    with holding("cpu", cache) as holder:
        result = suite.runpytest_subprocess(
            "--energy", "-oenergy_require=false", "--energy-no-wait", "-k", "free", *QUICK
        )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [f"energybench: --energy measured nothing: another measurement *(process {holder})*"]
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-n", "2"], "--energy measures one test at a time; run without -n, or leave out"),
        (["--energy-columns=joules,jules"], "joules,jules; known: joules, interval, watts"),
        (["--energy-sort=price"], "price; known: name, joules"),
        (["--energy-repeats=0"], "must be at least 1"),
        (["--energy-compare=gone.json"], "cannot read gone.json"),
        (["--energy-compare"], "no run in .benchmarks/ yet; save one with --benchmark-autosave"),
        (["--energy-compare=old.json", "--energy-compare-fail=joules"], "is no limit; write"),
        (["--energy-compare-fail=joules:10%"], "--energy-compare-fail needs --energy-compare"),
    ],
)
def test_bad_input_is_one_line(
    suite: pytest.Pytester, arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    (suite.path / "old.json").write_text(
        '{"benchmarks": [{"fullname": "a", "extra_info": {"energy": {"joules_per_call": 1.0, '
        '"domains": {}, "watts": null, "calls": 1, "window_s": 1.0}}}]}'
    )
    result = suite.runpytest_inprocess("--energy", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.stderr.lines if line.strip()]
    assert len(errors) == 1
    assert says in errors[0]


def test_the_flag_is_no_abbreviation_and_has_none(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess("--energ")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments: --energ"])
