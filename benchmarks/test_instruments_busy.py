"""Cost of reading who uses the processors, and its verdicts on a quiet and on a busy machine.

    pytest benchmarks/test_instruments_busy.py

Goals: a reading takes under 0.5 ms, and under 0.1 ms more for each child; of 50 windows of a quiet
machine none is marked, and of 50 windows beside a busy neighbour every one.
"""

import subprocess
import sys
import time
from functools import partial

import pytest
from support.fake_hardware import FakeMeter
from support.neighbour import busy_neighbour

from energybench.energy.cpu_use import CpuWatch
from energybench.energy.neighbours import observe, wait_until_quiet
from energybench.energy.windows import MeterSet

WINDOWS = 50
WINDOW_S = 0.3


@pytest.mark.parametrize("children", [0, 16])
def test_cost_of_a_reading(benchmark, children):
    """Time one reading, with children that sleep."""
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(children)]
    try:
        watch = CpuWatch()
        benchmark(watch.moment)
        assert len(watch.members()) == children + 1
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


@pytest.mark.parametrize("load", ["sleep", "work"])
def test_no_quiet_window_is_marked(benchmark, load):
    """Count the marked windows of a quiet machine, asleep and with a child at work."""
    if not wait_until_quiet(60.0, print, partial(observe, CpuWatch())):
        pytest.skip("the machine is not quiet")
    marked = benchmark.pedantic(marked_windows, [load], rounds=1)
    benchmark.extra_info["marked"] = marked
    assert marked == 0


def test_a_busy_neighbour_marks_every_window(benchmark):
    """Count the marked windows beside processes that keep every processor busy."""
    marked = 0

    def beside_a_neighbour() -> None:
        nonlocal marked
        for _ in range(WINDOWS // 10):  # a neighbour spins for two minutes at most
            with busy_neighbour():
                marked += marked_windows("work", 10)

    benchmark.pedantic(beside_a_neighbour, rounds=1)
    benchmark.extra_info["marked"] = marked
    assert marked == WINDOWS


def marked_windows(load: str, windows: int = WINDOWS) -> int:
    """Return how many windows are `contaminated`; "work" runs a child within each."""
    meters = MeterSet({"fake": FakeMeter({"cpu:0": 0.0})}, cpu=CpuWatch())
    marked = 0
    for _ in range(windows):
        with meters.window() as window:
            if load == "sleep":
                time.sleep(WINDOW_S)
            else:
                spin = f"import time\nwhile time.process_time() < {WINDOW_S}: pass"
                subprocess.run([sys.executable, "-c", spin], check=True)
        marked += "contaminated" in window.reading.flags
    return marked
