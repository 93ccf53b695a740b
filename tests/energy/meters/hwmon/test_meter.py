import time
from pathlib import Path

import pytest
from support.fake_hardware import FakeHwmon

from energybench.energy.meters.base import MeterAbsent, MeterContext, MeterUnavailable
from energybench.energy.meters.hwmon.meter import HwmonMeter, declared
from energybench.energy.opening import open_meters
from energybench.energy.source import HWMON_ENERGY, HWMON_POWER
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError


@pytest.fixture
def hwmon(tmp_path: Path) -> FakeHwmon:
    """An AMD server with two sockets, and a board with a power sensor."""
    fake = FakeHwmon(tmp_path)
    fake.chip(
        "hwmon2",
        "amd_energy",
        energy1_input=7,
        energy1_label="Ecore000",
        energy65_input=1_000_000,
        energy65_label="Esocket0",
        energy66_input=2_000_000,
        energy66_label="Esocket1",
    )
    fake.chip("hwmon10", "ina226", power1_input=12_500_000, power1_label="VDD CPU", in1_input=3)
    return fake


def test_sockets_are_read_and_their_cores_do_not_count_twice(hwmon: FakeHwmon) -> None:
    meter = HwmonMeter(root=str(hwmon.root))
    assert meter.domains() == {"cpu:0": HWMON_ENERGY, "cpu:1": HWMON_ENERGY}
    hwmon.chip("hwmon2", "amd_energy", energy1_input=900, energy66_input=5_500_000)
    assert meter.read_joules() == {"cpu:0": 0.0, "cpu:1": 3.5}
    assert (meter.update_s, meter.min_window_s) == (0.001, 0.1)
    meter.close()


def test_a_declared_sensor_is_read_in_place_of_the_known_one(hwmon: FakeHwmon) -> None:
    meter = HwmonMeter(["cpu=ina226/power1"], root=str(hwmon.root))
    assert meter.domains() == {"cpu:ina226-power1": HWMON_POWER}
    with MeterSet({"hwmon": meter}) as meters:
        with meters.window() as window:
            time.sleep(0.02)
        assert window.reading.watts == pytest.approx(12.5, rel=0.2)
        assert meters.min_window_s == 2.0


def test_a_declared_kind_stands_beside_others(hwmon: FakeHwmon) -> None:
    hwmon.chip("hwmon3", "scmi_sensors", energy2_input=0, energy2_label="pmic, dimms")
    meter = HwmonMeter(["dram=scmi_sensors/pmic, dimms"], root=str(hwmon.root))
    assert list(meter.domains()) == ["dram:scmi_sensors-pmic-dimms", "cpu:0", "cpu:1"]
    meter.close()


def test_the_average_is_taken_and_the_drivers_interval_counts(hwmon: FakeHwmon) -> None:
    hwmon.chip(
        "hwmon4",
        "power_meter",
        power1_average=99_000_000,
        power1_input=1,
        power1_average_interval=1000,
    )
    meter = HwmonMeter(["wall=power_meter/power1"], skip=["cpu"], root=str(hwmon.root))
    assert (meter.update_s, meter.min_window_s) == (1.0, 20.0)
    with MeterSet({"hwmon": meter}) as meters, meters.window() as window:
        time.sleep(0.02)
    assert window.reading.watts == pytest.approx(99.0, rel=0.2)


def test_two_chips_of_one_name_are_told_apart_by_their_folders(hwmon: FakeHwmon) -> None:
    hwmon.chip("hwmon11", "ina226", power1_input=1)
    with pytest.raises(MeterUnavailable, match="name one of hwmon10/power1, hwmon11/power1"):
        HwmonMeter(["cpu=ina226/power1"], root=str(hwmon.root))
    meter = HwmonMeter(["cpu=hwmon11/power1"], root=str(hwmon.root))
    assert list(meter.domains()) == ["cpu:hwmon11-power1"]
    meter.close()


@pytest.mark.parametrize("wrong", ["", "ina226/power1", "cpu=ina226", "CPU=a/b", "cpu:0=a/b"])
def test_what_declares_no_sensor_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="declares no sensor; write KIND=CHIP/SENSOR"):
        declared(wrong)


def test_a_sensor_that_is_not_there_comes_with_those_that_are(hwmon: FakeHwmon) -> None:
    with pytest.raises(MeterUnavailable) as caught:
        HwmonMeter(["cpu=ina226/power7"], root=str(hwmon.root))
    assert "no sensor ina226/power7; there are: amd_energy/energy1 (Ecore000)" in str(caught.value)


def test_where_what_sensors_cover_is_not_known_nothing_is_read(tmp_path: Path) -> None:
    fake = FakeHwmon(tmp_path)
    with pytest.raises(MeterAbsent, match="no sensor of energy or power in"):
        HwmonMeter(root=str(tmp_path))
    fake.chip("hwmon0", "ina226", power1_input=1, power1_label="VDD")
    with pytest.raises(MeterAbsent, match=r"not known: ina226/power1 \(VDD\); declare it"):
        HwmonMeter(root=str(tmp_path))


def test_a_counter_that_is_reset_or_unreadable_is_named(hwmon: FakeHwmon) -> None:
    meter = HwmonMeter(root=str(hwmon.root))
    folder = hwmon.chip("hwmon2", "amd_energy", energy65_input=3)
    (folder / "energy66_input").write_text("no data")
    read = meter.read_joules()
    assert "went backwards (was its driver loaded anew?)" in str(read["cpu:0"])
    assert "energy66_input holds no number" in str(read["cpu:1"])
    (folder / "energy65_input").unlink()
    with pytest.raises(MeterUnavailable, match="energy66_input holds no number"):
        HwmonMeter(root=str(hwmon.root))


def test_a_power_sensor_that_goes_away_costs_its_energy_with_the_reason(hwmon: FakeHwmon) -> None:
    meter = HwmonMeter(["cpu=ina226/power1"], root=str(hwmon.root))
    with MeterSet({"hwmon": meter}) as meters:
        with meters.window() as window:
            (hwmon.root / "hwmon10" / "power1_input").unlink()
        assert window.reading.joules == {"cpu:ina226-power1": None}
        assert "No such file" in window.reading.unavailable["cpu:ina226-power1"]


def test_of_the_meters_of_the_processor_one_reads(
    no_counters: None, hwmon: FakeHwmon, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MeterAbsent, match="another meter reads the processor"):
        HwmonMeter(skip=["cpu"], root=str(hwmon.root))
    monkeypatch.setattr(HwmonMeter.__init__, "__defaults__", ((), (), str(hwmon.root)))
    with open_meters(["auto"]) as meters:
        assert meters.source_names["cpu:0"] == "hwmon_energy"
        assert "hwmon" not in meters.unavailable
    context = MeterContext(hwmon=("cpu=ina226/power1",))
    with open_meters(["auto"], context) as meters:
        assert [name for name in meters.sources if name.startswith("cpu")] == ["cpu:ina226-power1"]
    with pytest.raises(UsageError, match="meter hwmon is not available: no sensor fan/power1"):
        open_meters(["auto"], MeterContext(hwmon=("cpu=fan/power1",)))
