from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energybench.meters.base import MeterUnavailable
from energybench.meters.rapl import RaplMeter


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
    assert meter.domains() == ["cpu:0", "dram:0", "cpu:1"]
    assert meter.read_joules() == {"cpu:0": 0, "dram:0": 0, "cpu:1": 0}
    (package / "energy_uj").write_text("8500000\n")
    (memory / "energy_uj").write_text("7000001\n")
    assert meter.read_joules() == {"cpu:0": 3.5, "dram:0": 1e-6, "cpu:1": 0}


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(0, 999_999),
    steps=st.lists(st.integers(0, 999_999), min_size=1, max_size=6),
)
def test_wrapping_counters_lose_nothing(
    tmp_path_factory: pytest.TempPathFactory, start: int, steps: list[int]
) -> None:
    zone = tmp_path_factory.mktemp("powercap") / "intel-rapl:0"
    zone.mkdir()
    (zone / "name").write_text("package-0")
    (zone / "max_energy_range_uj").write_text("1000000")
    (zone / "energy_uj").write_text(str(start))
    meter = RaplMeter(str(zone.parent))
    total = 0
    for step in steps:
        total += step
        (zone / "energy_uj").write_text(str((start + total) % 1_000_000))
        assert meter.read_joules() == {"cpu:0": pytest.approx(total / 1e6)}


def test_a_counter_that_jumps_back_further_than_its_range_is_refused(powercap: Any) -> None:
    zone = powercap.zone("intel-rapl:0", "package-0", 5_000, range_uj=1_000)
    meter = RaplMeter(str(powercap.root))
    (zone / "energy_uj").write_text("3")
    with pytest.raises(MeterUnavailable, match="went backwards"):
        meter.read_joules()


def test_no_tree(tmp_path: Path) -> None:
    with pytest.raises(MeterUnavailable, match=r"no RAPL counters in .*nowhere"):
        RaplMeter(str(tmp_path / "nowhere"))


def test_not_permitted_says_how_to_allow_it(powercap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = powercap.zone("intel-rapl:0", "package-0", 0)
    read_text = Path.read_text

    def as_another_user(path: Path) -> str:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", as_another_user)
    with pytest.raises(MeterUnavailable) as caught:
        RaplMeter(str(powercap.root))
    assert str(zone / "energy_uj") in str(caught.value)
    assert "sudo chmod a+r" in str(caught.value)


def test_unreadable_counters_are_unavailable(powercap: Any) -> None:
    zone = powercap.zone("intel-rapl:0", "package-0", 0)
    meter = RaplMeter(str(powercap.root))
    (zone / "energy_uj").write_text("not supported")
    with pytest.raises(MeterUnavailable, match="holds no number"):
        meter.read_joules()
    (zone / "energy_uj").unlink()
    with pytest.raises(MeterUnavailable, match="No such file"):
        meter.read_joules()
    (zone / "energy_uj").mkdir()
    with pytest.raises(MeterUnavailable, match="Is a directory"):
        RaplMeter(str(powercap.root))
