"""Does `--energy` change the times that pytest-benchmark reports? Sessions with and without it.

    pytest -s benchmarks/test_instruments_flag.py

Goals: less than 1 % for a function of 1 ms, and nothing beyond the noise for one of 1 us. Sessions
take turns, so that drift favours neither. The noise is the same ratio between halves of the
sessions without the option.
"""

import json
import os
import statistics
import subprocess
import sys

import pytest

SESSIONS = 12
"""Sessions of each kind: an even number, for the halves."""
GOAL = 0.01
SUITE = """
import time

NUMBERS = list(range(60))

def test_1us(benchmark):
    benchmark(sum, NUMBERS)

def test_1ms(benchmark):
    benchmark(sum, range(60_000))

def test_1ms_with_setup(benchmark):
    benchmark.pedantic(sum, setup=lambda: ((range(60_000),), {}), rounds=300)
"""


@pytest.fixture
def suite(tmp_path):
    """A folder with a foreign suite in it."""
    (tmp_path / "test_theirs.py").write_text(SUITE)
    return tmp_path


def reported(suite, *options: str) -> dict[str, dict[str, float]]:
    """Test -> the least, median and mean seconds that pytest-benchmark reports in one session."""
    saved = suite / "out.json"
    plain = ["-q", "-p", "no:cacheprovider", "--benchmark-max-time=0.5"]
    command = [sys.executable, "-m", "pytest", *plain, f"--benchmark-json={saved}", *options]
    environment = os.environ | {"ENERGYBENCH_LOCKS": str(suite)}
    subprocess.run(command, cwd=suite, env=environment, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(saved.read_text())["benchmarks"]
    assert all(("energy" in one["extra_info"]) == ("--energy" in options) for one in found)
    names = ("min", "median", "mean")
    return {one["name"]: {name: one["stats"][name] for name in names} for one in found}


def test_times_with_and_without_the_option(benchmark, suite, tell):
    """Compare the medians over the sessions."""
    kinds: dict[tuple[str, ...], list[dict[str, dict[str, float]]]] = {(): [], ("--energy",): []}
    for options in kinds:
        reported(suite, *options)  # the first of each compiles what it imports
    for _ in range(SESSIONS):
        for options, found in kinds.items():
            found.append(reported(suite, *options))
    benchmark.pedantic(lambda: reported(suite), rounds=1)
    without, with_energy = kinds.values()
    for test in without[0]:
        for name in ("min", "median", "mean"):
            plain = [one[test][name] for one in without]
            ours = [one[test][name] for one in with_energy]
            half = statistics.median(plain[::2]) / statistics.median(plain[1::2]) - 1.0
            change = statistics.median(ours) / statistics.median(plain) - 1.0
            tell(**{f"{test}_{name}_s": statistics.median(plain)})
            tell(**{f"{test}_{name}_change": change, f"{test}_{name}_noise": abs(half)})
            if name == "median" and test != "test_1us":
                assert abs(change) < GOAL
