"""Measure the start-up cost of energybench in a test session that does not use it.

    pytest -s benchmarks/test_instruments_startup.py

Goal: at most 30 ms more than the same session under `-p no:energybench`. The least CPU seconds of
each are compared: a neighbour on the machine adds to all other figures.
"""

import os
import resource
import statistics
import subprocess
import sys

import pytest

SESSIONS = 25
GOAL_S = 0.03
WITHOUT = ("-p", "no:energybench")


@pytest.fixture
def suite(tmp_path):
    """A folder with one test in it."""
    (tmp_path / "test_theirs.py").write_text("def test_theirs():\n    pass\n")
    return tmp_path


def cpu_seconds(suite, *options: str) -> float:
    """CPU seconds of one session, user and system, with modules compiled as pip leaves them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=suite, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_start_up(benchmark, suite, tell):
    """Sessions with and without the plugin, in turns so that drift favours neither."""
    seconds: dict[tuple[str, ...], list[float]] = {(): [], WITHOUT: []}
    for options in seconds:
        cpu_seconds(suite, *options)  # the first of each compiles what it imports
    for _ in range(SESSIONS):
        for options, found in seconds.items():
            found.append(cpu_seconds(suite, *options))
    benchmark.pedantic(lambda: cpu_seconds(suite), rounds=3)
    ours, theirs = map(min, seconds.values())
    medians = [statistics.median(found) for found in seconds.values()]
    tell(with_plugin_s=ours, without_s=theirs, more_s=ours - theirs, ratio=ours / theirs)
    tell(ratio_of_medians=medians[0] / medians[1])
    assert ours - theirs <= GOAL_S
