import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.fake_hardware import A100, OTHER, FakeGpu, FakeNvml, FakePowercap

from energybench.app.cli.main import main
from energybench.energy import doctor
from energybench.energy.machine import gpu_id
from energybench.energy.meters import rapl
from energybench.energy.meters.base import MeterContext
from energybench.report.tables.diagnosis import diagnosis_text, format_time


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """A GPU with a counter that steps at every other reading, and one whose power is polled."""
    fake = FakeNvml([FakeGpu(A100), FakeGpu(OTHER, millijoules=None)])
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    count, asked = fake.nvmlDeviceGetTotalEnergyConsumption, [0]

    def stepping(handle: FakeGpu) -> int:
        asked[0] += 1
        return count(handle) + asked[0] // 2 * 100

    monkeypatch.setattr(fake, "nvmlDeviceGetTotalEnergyConsumption", stepping)
    return fake


@pytest.fixture
def powercap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePowercap:
    tree = FakePowercap(tmp_path)
    tree.zone("intel-rapl:0", "package-0", 5_000_000)
    monkeypatch.setattr(rapl.RaplMeter.__init__, "__defaults__", (str(tmp_path),))
    return tree


def test_a_machine_with_counters(two_gpus: FakeNvml, powercap: FakePowercap) -> None:
    context = MeterContext(gpu_uuids=(A100, OTHER), gpu_indices=(0, 1))
    found = doctor.diagnose(context, observe_s=0.1, idle_s=0.05)
    first, second = f"gpu:{gpu_id(A100)}", f"gpu:{gpu_id(OTHER)}"
    meters = {meter.name: meter for meter in found.meters}
    nvml = meters["nvml"]
    assert nvml.unavailable is None
    assert nvml.sources == {first: "nvml_counter", second: "nvml_power"}
    interval = nvml.update_interval_s[first]
    assert nvml.read_s is not None
    assert interval is not None
    assert 1.5 * nvml.read_s < interval < 0.1
    assert nvml.watts[second] == pytest.approx(250.0, rel=0.2)
    assert meters["rapl"].sources == {"cpu:0": "rapl"}
    assert meters["rapl"].update_interval_s == {"cpu:0": None}
    assert found.automatic.items() >= {first: "nvml_counter", "cpu:0": "rapl"}.items()
    assert found.idle_watts["cpu:0"] == 0.0
    assert [gpu["id"] for gpu in found.nvml_gpus] == [gpu_id(A100), gpu_id(OTHER)]
    assert A100 not in json.dumps(found.to_json())
    text = diagnosis_text(found)
    assert f"{first} (nvml_counter)" in text
    assert "did not change" in text
    assert f"NVML 1: gpu:{gpu_id(OTHER)} NVIDIA A100" in text


def test_this_machine_at_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "doctor.json"
    assert main(["doctor", "--observe=0.1", "--idle=0.05", "--json", str(kept)]) == 0
    out = capsys.readouterr().out
    found: dict[str, Any] = json.loads(kept.read_text())
    assert {meter["name"] for meter in found["meters"]} == {"nvml", "rapl", "zeus", "codecarbon"}
    for meter in found["meters"]:
        assert meter["name"] in out
        if meter["unavailable"]:
            assert f"not available: {meter['unavailable']}" in out
        else:
            assert meter["window_s"] > 0
    assert found["automatic"], "there is always an estimate"
    assert "Idle, 0.05 s" in out


def test_no_time_to_observe_is_still_a_reading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--observe=0", "--idle=0"]) == 0
    assert "a reading takes" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("energybench.registry.METERS._builtin", {})
    assert main(["doctor", "--idle=0", "--json", str(tmp_path / "no" / "file")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (2e-6, "2 us"), (0.0034, "3.4 ms"), (1.25, "1.25 s")]
)
def test_short_times(seconds: float | None, text: str) -> None:
    assert format_time(seconds) == text
