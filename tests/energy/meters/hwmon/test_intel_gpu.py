from pathlib import Path

import pytest
from support.fake_hardware import FakeHwmon
from support.waiting import wait_until

from energybench.energy.meters.base import MeterAbsent, MeterContext, MeterUnavailable
from energybench.energy.meters.hwmon import intel_gpu
from energybench.energy.meters.hwmon.intel_gpu import IntelGpuMeter
from energybench.energy.source import INTEL_GPU

PLACE = "0000:03:00.0"


@pytest.fixture
def hwmon(tmp_path: Path) -> FakeHwmon:
    return FakeHwmon(tmp_path)


def test_a_card_of_i915_counts_and_its_parts_do_not(hwmon: FakeHwmon) -> None:
    hwmon.chip("hwmon0", "coretemp", temp1_input=40_000)
    hwmon.chip("hwmon1", "i915", pci=PLACE, energy1_input=10_000_000)
    hwmon.chip("hwmon2", "i915_gt0", energy1_input=1)
    meter = IntelGpuMeter(str(hwmon.root))
    (domain,) = meter.domains()
    assert domain.startswith("gpu:")
    assert len(domain) == len("gpu:") + 12
    assert meter.domains() == {domain: INTEL_GPU}
    hwmon.chip("hwmon1", "i915", energy1_input=12_500_000)
    hwmon.chip("hwmon2", "i915_gt0", energy1_input=900)
    assert meter.read_joules() == {domain: 2.5}
    meter.close()


@pytest.mark.parametrize(("package", "card"), [(7_000_000, None), (7_000_000, 9_000_000)])
def test_of_xe_the_card_counts_or_the_package_where_it_does_not(
    hwmon: FakeHwmon, package: int, card: int | None
) -> None:
    def show(extra: int) -> None:
        files = {"energy2_input": package + extra}
        files |= {"energy1_input": card + 2 * extra} if card is not None else {}
        hwmon.chip("hwmon1", "xe", pci=PLACE, **files)

    show(0)
    meter = IntelGpuMeter(str(hwmon.root))
    show(1_000_000)
    assert list(meter.read_joules().values()) == [1.0 if card is None else 2.0]
    meter.close()


def test_a_thread_reads_so_that_the_driver_sees_every_wrap_around(
    hwmon: FakeHwmon, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert intel_gpu.READ_EVERY_S < 2**32 / 2**14 / 1000 / 4
    monkeypatch.setattr(intel_gpu, "READ_EVERY_S", 0.01)
    folder = hwmon.chip("hwmon1", "xe", pci=PLACE, energy1_input=5)
    meter = IntelGpuMeter(str(hwmon.root))
    (counter,) = meter._counters.values()
    (folder / "energy1_input").write_text("1000005")
    wait_until(lambda: counter._last_uj == 1_000_005)
    wait_until(lambda: meter.background_cpu_s() > 0.0)
    meter.close()


def test_a_driver_that_is_loaded_anew_costs_the_energy_with_the_reason(hwmon: FakeHwmon) -> None:
    folder = hwmon.chip("hwmon1", "xe", pci=PLACE, energy1_input=5)
    meter = IntelGpuMeter(str(hwmon.root))
    (folder / "energy1_input").write_text("0")
    assert "went backwards" in str(*meter.read_joules().values())
    meter.close()


def test_several_none_and_others(hwmon: FakeHwmon) -> None:
    with pytest.raises(MeterAbsent, match="no Intel GPU that counts its energy"):
        IntelGpuMeter(str(hwmon.root))
    hwmon.chip("hwmon1", "xe", pci=PLACE, energy1_input=5)
    hwmon.chip("hwmon2", "xe", pci="0000:04:00.0", energy1_input=5)
    with pytest.raises(MeterUnavailable, match="2 Intel GPUs, and none is known as the one in use"):
        IntelGpuMeter(str(hwmon.root))
    for uuids in ((), ("GPU-1",)):
        with pytest.raises(MeterAbsent, match="no Intel GPU in use"):
            IntelGpuMeter.open(MeterContext(uuids))
