import sys
import time

import pytest
from support.fake_amdsmi import FakeAmdGpu, FakeAmdSmi

from energybench.energy.machine import gpu_id
from energybench.energy.meters.amdsmi import AmdSmiMeter
from energybench.energy.meters.base import MeterAbsent, MeterContext, MeterUnavailable
from energybench.energy.opening import open_meters
from energybench.energy.source import AMDSMI_COUNTER, AMDSMI_POWER
from energybench.energy.windows import MeterSet

FIRST, SECOND = "a8ff74a1-0000-1000-80b1-62b8eb3e4f85", "a8ff74a1-0000-1000-80b1-000000000002"


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch) -> FakeAmdSmi:
    """One GPU with a counter."""
    fake = FakeAmdSmi([FakeAmdGpu(FIRST)])
    monkeypatch.setitem(sys.modules, "amdsmi", fake)
    return fake


def test_the_count_times_its_resolution_is_microjoules(smi: FakeAmdSmi) -> None:
    domain = f"gpu:{gpu_id(FIRST)}"
    meter = AmdSmiMeter()
    assert meter.domains() == {domain: AMDSMI_COUNTER}
    with MeterSet({"amdsmi": meter}) as meters:
        with meters.window() as window:
            smi.gpus[0].count = 3_000_000
        assert window.reading.joules == {domain: pytest.approx(2_000_000 * 15.3e-6)}
        assert window.reading.background_cpu_s == 0.0
    meter.close()
    assert smi.sessions == 0


def test_the_field_of_older_versions_is_read(smi: FakeAmdSmi) -> None:
    smi.count_field = "power"
    meter = AmdSmiMeter()
    smi.gpus[0].count = 2_000_000
    assert meter.read_joules() == {f"gpu:{gpu_id(FIRST)}": pytest.approx(15.3)}


@pytest.mark.parametrize("count", [None, 0, 2**64 - 1])
@pytest.mark.parametrize(
    ("power", "watts"),
    [
        ({"average_socket_power": 90}, 90.0),
        ({"current_socket_power": 150, "average_socket_power": "N/A"}, 150.0),
        ({"socket_power": 200, "current_socket_power": "N/A"}, 200.0),
        ({"socket_power": 0xFFFF, "average_socket_power": 70}, 70.0),
    ],
)
def test_power_is_polled_where_nothing_is_counted(
    smi: FakeAmdSmi, count: int | None, power: dict[str, object], watts: float
) -> None:
    smi.gpus[0].count, smi.gpus[0].power = count, power
    meter = AmdSmiMeter()
    assert list(meter.domains().values()) == [AMDSMI_POWER]
    with MeterSet({"amdsmi": meter}) as meters, meters.window() as window:
        time.sleep(0.02)
    assert window.reading.watts == pytest.approx(watts, rel=0.2)


@pytest.mark.parametrize("power", [None, {"average_socket_power": "N/A"}])
def test_neither_count_nor_power(smi: FakeAmdSmi, power: dict[str, object] | None) -> None:
    smi.gpus[0].count, smi.gpus[0].power = 0, power
    with pytest.raises(MeterUnavailable, match=r"neither an energy counter nor power|tells no"):
        AmdSmiMeter()
    assert smi.sessions == 0


def test_a_gpu_that_is_reset_or_lost_costs_its_energy_with_the_reason(smi: FakeAmdSmi) -> None:
    domain = f"gpu:{gpu_id(FIRST)}"
    meter = AmdSmiMeter()
    smi.gpus[0].count = 5
    assert "went backwards (was the GPU reset?)" in str(meter.read_joules()[domain])
    smi.gpus[0].count = None
    reason = str(meter.read_joules()[domain])
    assert reason.startswith(f"AMD SMI cannot read {domain}: Error code: 2 | AMDSMI")
    assert "\n" not in reason


def test_of_several_gpus_those_in_use_are_read(smi: FakeAmdSmi) -> None:
    smi.gpus[0].hip_uuid = "GPU-d238b5b7d14fcb0f"
    smi.gpus.append(FakeAmdGpu(SECOND, hip_uuid="GPU-73f0b1c2a4d5e6f7"))
    second = [f"gpu:{gpu_id(SECOND)}"]
    assert list(AmdSmiMeter(["73f0b1c2a4d5e6f7"]).domains()) == second
    as_bytes = b"73f0b1c2a4d5e6f7".hex()  # HIP puts the digits into the 16 bytes of a UUID
    assert list(AmdSmiMeter([f"GPU-{as_bytes[:8]}-{as_bytes[8:]}"]).domains()) == second
    with pytest.raises(MeterUnavailable, match="2 AMD GPUs, and none is named"):
        AmdSmiMeter()
    with pytest.raises(MeterUnavailable, match="knows no GPU ffff"):
        AmdSmiMeter(["ffff"])
    smi.gpus[0].hip_uuid = smi.gpus[1].hip_uuid = None
    with pytest.raises(MeterUnavailable, match=r"update ROCm to 6\.4"):
        AmdSmiMeter(["73f0b1c2a4d5e6f7"])


def test_what_is_not_there_is_not_mentioned_by_auto(
    smi: FakeAmdSmi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MeterAbsent, match="no GPU in use"):
        AmdSmiMeter(())
    with pytest.raises(MeterAbsent, match="another meter reads the GPUs"):
        AmdSmiMeter.open(MeterContext(None, None, kinds_read=frozenset({"gpu"})))
    smi.gpus.clear()
    with pytest.raises(MeterAbsent, match="no AMD GPU"):
        AmdSmiMeter()
    smi.driver = False
    with pytest.raises(MeterAbsent, match=r"no AMD driver: Error code: 2"):
        AmdSmiMeter()
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    with pytest.raises(MeterAbsent, match="amdsmi is not installed"):
        AmdSmiMeter()
    with open_meters(["auto"], MeterContext(None, None)) as meters:
        assert "amdsmi" not in meters.unavailable
