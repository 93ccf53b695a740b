import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.fake_hardware import A100, OTHER, FakeGpu, FakeNvml, FakePowercap
from support.fake_plug import plugged_in, shelly

from energybench.app.cli.doctor import findings_text, inventory_text
from energybench.energy.diagnosis import diagnose, take_inventory
from energybench.energy.machine import gpu_id
from energybench.energy.meters import rapl
from energybench.energy.meters.base import MeterContext
from energybench.energy.opening import open_meters
from energybench.registry import METERS


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
    context = MeterContext((A100, OTHER), (0, 1), busy_share=1.0)
    with open_meters(["auto"], context) as automatic:
        found = diagnose(take_inventory(), automatic, context, observe_s=0.1, idle_s=0.05)
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
    assert (nvml.stated_update_s, nvml.min_window_s) == (0.1, 2.0)
    assert nvml.kinds[first] == "measured"
    assert nvml.covers[first] == "a GPU's board"
    assert meters["rapl"].sources == {"cpu:0": "rapl"}
    assert meters["rapl"].update_interval_s == {"cpu:0": None}
    assert found.automatic.items() >= {first: "nvml_counter", "cpu:0": "rapl"}.items()
    assert found.idle_watts["cpu:0"] == 0.0
    assert [gpu["id"] for gpu in found.inventory.nvml_gpus] == [gpu_id(A100), gpu_id(OTHER)]
    assert A100 not in json.dumps(found.to_json())
    text = findings_text(found)
    assert f"{first} (nvml_counter)" in text
    assert "did not change; measured, a processor's package" in text
    assert "; for windows from 2 s" in text
    assert f"NVML 1: gpu:{gpu_id(OTHER)} NVIDIA A100" in inventory_text(found.inventory)
    names = {"machine", "nvml_gpus", "cuda_gpus", "notes", "locks", "meters", "automatic"}
    own = {"idle_watts", "idle_s", "assumptions", "idle_refused", "busy"}
    assert found.to_json().keys() == names | own
    assert found.assumptions is not None
    assert found.assumptions.mode is None, "RAPL reads the processor"
    assert f"estimate by {found.assumptions}; declare yours with --energy-cpu-watts" in text


def test_a_plug_that_is_asked_once_a_second_is_said_to_be_and_is_the_total(
    powercap: FakePowercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METERS, "_builtin", {name: METERS._builtin[name] for name in ("wall",)})
    with plugged_in(shelly(80.0)) as plug:
        context = MeterContext(wall_meter=f"shelly:{plug.place}")
        with open_meters(["auto"], context) as automatic:
            found = diagnose(take_inventory(), automatic, context, observe_s=0.05, idle_s=0.0)
            automatic.idle_watts = {"wall:plug": 80.0, "cpu:0": 30.0}
            found = replace(found, idle_watts=automatic.idle_watts)
    text = findings_text(found)
    assert "wall:plug (shelly): 80.0 W, updated every 1 s; measured, the whole machine" in text
    assert "auto reads wall:plug by shelly, cpu:0 by rapl" in text
    assert "the total is wall:plug alone; the others are parts of it" in text
    assert "wall:plug 80.0 W, cpu:0 30.0 W; in all 80.0 W" in text


def test_an_inventory_measures_nothing(two_gpus: FakeNvml) -> None:
    found = take_inventory()
    assert [gpu["id"] for gpu in found.nvml_gpus] == [gpu_id(A100), gpu_id(OTHER)]
    assert two_gpus.read == []
