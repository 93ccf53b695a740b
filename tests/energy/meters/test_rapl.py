import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_hardware import FakePowercap
from support.waiting import wait_until

from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.rapl import RaplMeter, _Counter
from energybench.energy.source import RAPL
from energybench.energy.windows import MeterSet


def test_packages_and_their_memory_count_and_nothing_twice(powercap: Any) -> None:
    package = powercap.zone("intel-rapl:0", "package-0", 5_000_000)
    powercap.zone("intel-rapl:0/intel-rapl:0:0", "core", 1)
    memory = powercap.zone("intel-rapl:0/intel-rapl:0:1", "dram", 7_000_000)
    powercap.zone("intel-rapl:1", "package-1", 0)
    powercap.zone("intel-rapl:2", "psys", 0)
    powercap.zone("intel-rapl-mmio:0", "package-0", 0)
    powercap.zone("intel-rapl:0:1", "dram", 0)  # the class folder lists parts a second time
    (powercap.root / "intel-rapl").mkdir()  # the control type itself
    meter = RaplMeter(str(powercap.root))
    assert meter.domains() == dict.fromkeys(["cpu:0", "dram:0", "cpu:1"], RAPL)
    assert meter.read_joules() == {"cpu:0": 0, "dram:0": 0, "cpu:1": 0}
    (package / "energy_uj").write_text("8500000\n")
    (memory / "energy_uj").write_text("7000001\n")
    assert meter.read_joules() == {"cpu:0": 3.5, "dram:0": 1e-6, "cpu:1": 0}


def reason(meter: RaplMeter) -> str:
    """Why `cpu:0` cannot be read."""
    error = meter.read_joules()["cpu:0"]
    assert isinstance(error, MeterUnavailable)
    return str(error)


def zone_in(root: Path, energy_uj: int, range_uj: int) -> Path:
    return FakePowercap(root).zone("intel-rapl:0", "package-0", energy_uj, range_uj)


@settings(max_examples=40, deadline=None)
@given(
    start_uj=st.integers(0, 10**9 - 1),
    steps_uj=st.lists(st.floats(0, 10**9 - 100), min_size=1, max_size=6),
    resolution_uj=st.sampled_from([1, 15, 61]),
)
def test_the_reading_is_true_to_the_counters_resolution_however_it_wraps(
    tmp_path_factory: pytest.TempPathFactory,
    start_uj: int,
    steps_uj: list[float],
    resolution_uj: int,
) -> None:
    zone = zone_in(tmp_path_factory.mktemp("powercap"), start_uj, range_uj=10**9)
    meter, true_uj = RaplMeter(str(zone.parent)), 0.0
    try:
        for step_uj in steps_uj:
            true_uj += step_uj
            shown = (start_uj + int(true_uj // resolution_uj) * resolution_uj) % 10**9
            (zone / "energy_uj").write_text(str(shown))
            joules = meter.read_joules()["cpu:0"]
            assert joules == pytest.approx(true_uj / 1e6, abs=(resolution_uj + 1) / 1e6)
    finally:
        meter.close()


def test_two_wraps_in_one_window_lose_nothing(tmp_path: Path) -> None:
    range_uj = 100_000_000  # 0.1 s at 1000 W
    zone = zone_in(tmp_path, 0, range_uj)
    meter = RaplMeter(str(tmp_path))

    def seen(total_uj: int) -> Callable[[], bool]:
        return lambda: meter._counters["cpu:0"]._total_uj >= total_uj

    with MeterSet({"rapl": meter}) as meters, meters.window() as window:
        for total_uj in range(40_000_000, 240_000_001, 40_000_000):  # 2.4 times the range
            (zone / "energy_uj").write_text(str(total_uj % range_uj))
            wait_until(seen(total_uj))
    assert window.reading.joules == {"cpu:0": 240.0}
    assert window.reading.background_cpu_s > 0.0


def test_the_thread_wakes_often_enough_for_the_most_power_and_ends(powercap: Any) -> None:
    zone = powercap.zone("intel-rapl:0", "package-0", 0, range_uj=262_143_328_850)
    assert _Counter(zone).shortest_wrap_s() == pytest.approx(262.143, abs=0.001)
    (zone / "constraint_0_max_power_uw").write_text("0\n")  # not stated
    (zone / "constraint_1_max_power_uw").write_text("2000000000\n")
    assert _Counter(zone).shortest_wrap_s() == pytest.approx(131.072, abs=0.001)
    meter = RaplMeter(str(powercap.root))
    thread = meter._reader._thread
    assert thread in threading.enumerate()
    began = time.perf_counter()
    meter.close()
    assert time.perf_counter() - began < 1.0, "it sleeps for minutes, but not while it is closed"
    assert thread not in threading.enumerate()


def test_a_counter_that_jumps_back_further_than_its_range_is_refused(powercap: Any) -> None:
    zone = powercap.zone("intel-rapl:0", "package-0", 1_005_000, range_uj=1_000_000)
    meter = RaplMeter(str(powercap.root))
    (zone / "energy_uj").write_text("3")
    assert "went backwards" in reason(meter)


def test_no_tree(tmp_path: Path) -> None:
    with pytest.raises(MeterUnavailable, match=r"no RAPL counters in .*nowhere"):
        RaplMeter(str(tmp_path / "nowhere"))


def test_not_permitted_says_how_to_allow_it(powercap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = powercap.zone("intel-rapl:0", "package-0", 0)
    open_file = os.open

    def as_another_user(path: Path, flags: int) -> int:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return open_file(path, flags)

    monkeypatch.setattr("energybench.energy.meters.sysfs.os", SimpleNamespace(**vars(os)))
    monkeypatch.setattr("energybench.energy.meters.sysfs.os.open", as_another_user)
    with pytest.raises(MeterUnavailable) as caught:
        RaplMeter(str(powercap.root))
    assert str(zone / "energy_uj") in str(caught.value)
    assert "sudo chmod a+r" in str(caught.value)


def test_unreadable_counters_are_unavailable(powercap: Any) -> None:
    zone = powercap.zone("intel-rapl:0", "package-0", 0)
    meter = RaplMeter(str(powercap.root))
    (zone / "energy_uj").write_text("not supported")
    assert "holds no number" in reason(meter)
    (zone / "energy_uj").unlink()
    assert "No such file" in reason(meter)
    (zone / "energy_uj").mkdir()
    with pytest.raises(MeterUnavailable, match="Is a directory"):
        RaplMeter(str(powercap.root))
