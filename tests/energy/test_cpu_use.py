"""CPU seconds of the measured processes, of others, and of a hypervisor; what they say."""

import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fake_hardware import FakeMeter
from support.neighbour import busy_neighbour

from energybench.energy.cpu_use import CpuWatch, is_contaminated, is_idle, use_text
from energybench.energy.nodes import over_nodes
from energybench.energy.opening import open_meters
from energybench.energy.readings import CpuUse, EnergyReading, added
from energybench.energy.windows import MeterSet

WORK = "import time\nwhile time.process_time() < 0.2: pass\n"


def use(own: float, others: float, steal: float = 0.0, capacity: float = 20.0) -> CpuUse:
    return CpuUse(own, own + others, steal, capacity)


@pytest.mark.parametrize(
    ("cpu", "duration_s", "expected"),
    [
        (use(19.0, 0.9), 10.0, False),
        (use(19.0, 1.1), 10.0, True),
        (use(0.0, 20.0), 10.0, True),
        (use(20.0, 0.0, steal=0.3), 10.0, False),
        (use(19.5, 0.0, steal=0.5), 10.0, True),
        (use(0.3, 0.3, capacity=0.6), 0.3, True),
        (use(0.55, 0.045, capacity=0.6), 0.3, False),  # five ticks: no more than the counters err
        (use(60.0, 1.2, capacity=64.0), 1.0, False),  # of 64 processors each errs by itself
        (use(60.0, 3.3, capacity=64.0), 1.0, True),
    ],
)
def test_others_contaminate_a_window_by_more_than_their_share(
    cpu: CpuUse, duration_s: float, expected: bool
) -> None:
    assert is_contaminated(cpu, duration_s) == expected
    assert not is_contaminated(CpuUse(cpu.own_s, cpu.machine_s, 0.0, cpu.capacity_s), 10.0, 1.0)


@given(
    processors=st.integers(1, 256),
    duration_s=st.floats(0.01, 1e4),
    load=st.floats(0.0, 1.0),
    error=st.floats(-1.0, 1.0),
)
def test_no_quiet_window_is_marked_however_the_ticks_fall(
    processors: int, duration_s: float, load: float, error: float
) -> None:
    capacity = processors * duration_s
    own, ticks = load * capacity, 0.01 * max(5, 2 * processors)
    assert not is_contaminated(use(own, error * ticks, capacity=capacity), duration_s)


def test_a_machine_is_idle_only_if_nobody_works() -> None:
    assert is_idle(use(0.1, 0.3), 10.0)
    assert not is_idle(use(2.0, 0.0), 10.0)
    assert not is_idle(use(0.0, 2.0), 10.0)
    assert not is_idle(use(0.0, 0.0, steal=1.0), 10.0)
    assert use_text(use(10.0, 9.6, steal=0.2)) == (
        "others used 48 % of the processors, this process 50 %, the hypervisor 1 %"
    )


def test_children_are_our_own_while_they_live_and_when_they_have_ended() -> None:
    watch = CpuWatch()
    start = watch.moment()
    ended = subprocess.run([sys.executable, "-c", WORK], check=True)
    alive = subprocess.Popen(
        [sys.executable, "-c", WORK + "print(flush=True)\nimport time\ntime.sleep(20)"],
        stdout=subprocess.PIPE,
    )
    assert ended.returncode == 0
    assert alive.stdout is not None
    alive.stdout.readline()
    both = watch.since(start)
    between = watch.moment()
    alive.kill()
    alive.communicate()
    after = watch.since(between)
    assert both is not None
    assert both.own_s >= 0.38
    assert both.machine_s >= 0.35
    assert after is not None
    assert after.own_s < 0.15  # what it did before it ended does not count again


def test_a_busy_neighbour_marks_every_window_that_it_touches() -> None:
    meters = MeterSet({"fake": FakeMeter({"cpu:0": 0.0})}, cpu=CpuWatch())
    with busy_neighbour() as neighbours, meters.window() as phase:
        for _ in range(3):
            with meters.window() as epoch:
                time.sleep(0.3)
            assert epoch.reading.flags == ["contaminated"]
            cpu = epoch.reading.cpu
            assert cpu is not None
            assert cpu.others_s > 0.5 * cpu.capacity_s > 2 * cpu.own_s
    assert len(neighbours) == psutil.cpu_count()
    assert phase.reading.flags == ["contaminated"]


def test_a_rank_beside_us_is_no_neighbour() -> None:
    with busy_neighbour(1) as (rank,):
        watch = CpuWatch([rank])
        start, own_s = watch.moment(), 0.0
        until = time.monotonic() + 20.0  # on a busy machine the rank waits for its turn
        while own_s <= 0.1 and time.monotonic() < until:
            time.sleep(0.1)
            found = watch.since(start)
            own_s = 0.0 if found is None else found.own_s
    assert own_s > 0.1


def test_opened_meters_say_who_used_the_processors() -> None:
    with open_meters(["codecarbon"]) as meters, meters.window() as window:
        pass
    assert window.reading.cpu is not None
    assert window.reading.cpu.capacity_s >= window.reading.duration_s


@pytest.mark.parametrize("failure", ["refused", "zeros"])
def test_a_system_that_does_not_tell_leaves_the_use_unknown(
    failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def times() -> SimpleNamespace:
        if failure == "refused":
            raise psutil.AccessDenied
        return SimpleNamespace(user=0.0, nice=0.0, system=0.0, idle=0.0)

    monkeypatch.setattr(psutil, "cpu_times", times)
    with MeterSet({"fake": FakeMeter({"cpu:0": 0.0})}, cpu=CpuWatch()).window() as window:
        pass
    assert window.reading.cpu is None
    assert window.reading.flags == []


def test_windows_and_machines_add_up() -> None:
    first = EnergyReading(1.0, {}, {}, cpu=use(1.0, 0.5, 0.1, 2.0))
    second = EnergyReading(3.0, {}, {}, cpu=use(2.0, 0.5, 0.1, 6.0))
    sums = CpuUse(3.0, 4.0, 0.2, 8.0)
    assert added(first, second).cpu == sums
    assert added(first, EnergyReading(1.0, {}, {})).cpu is None
    assert over_nodes({0: first, 1: second}, [0, 1]).cpu == sums
    assert over_nodes({0: first, 1: EnergyReading(1.0, {}, {})}, [0, 0]).cpu == first.cpu
    assert over_nodes({0: first, 1: EnergyReading(1.0, {}, {})}, [0, 1]).cpu is None
