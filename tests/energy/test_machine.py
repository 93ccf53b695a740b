import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from energybench.energy.machine import describe_machine, gpu_id


class NVMLError(Exception):
    pass


def refuse(*arguments: object) -> None:
    raise NVMLError


def fake_nvml(**changes: object) -> SimpleNamespace:
    """The pynvml module on a machine with one H100."""
    facts = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "580.82.07",
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: "handle",
        "nvmlDeviceGetUUID": lambda handle: "GPU-1",
        "nvmlDeviceGetName": lambda handle: "NVIDIA H100 80GB HBM3",
        "nvmlDeviceGetPowerManagementLimit": lambda handle: 700_000,
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=85_520_809_984),
    }
    return SimpleNamespace(**{**facts, **changes})


def test_the_same_machine_is_described_the_same_way_twice() -> None:
    first, second = describe_machine(), describe_machine()
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 16
    assert first.cpu
    assert first.ram_gib >= 1
    assert first.versions.keys() == {"torch", "torchvision", "energybench"}


def test_gpus_are_described_without_their_uuids(monkeypatch: pytest.MonkeyPatch) -> None:
    without = describe_machine()
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    machine = describe_machine()
    assert machine.nvidia_driver == "580.82.07"
    assert machine.gpus == [
        {
            "id": gpu_id("GPU-1"),
            "name": "NVIDIA H100 80GB HBM3",
            "power_limit_w": 700,
            "memory_gib": 80,
        }
    ]
    assert "GPU-1" not in json.dumps(machine.to_json())
    assert machine.fingerprint != without.fingerprint or without.gpus


def test_facts_that_a_gpu_does_not_tell_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = fake_nvml(nvmlDeviceGetPowerManagementLimit=refuse, nvmlDeviceGetMemoryInfo=refuse)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    (gpu,) = describe_machine().gpus
    assert gpu["name"] == "NVIDIA H100 80GB HBM3"
    assert gpu["power_limit_w"] is gpu["memory_gib"] is None


@pytest.mark.parametrize(
    "nvml", [None, fake_nvml(nvmlInit=refuse), fake_nvml(nvmlDeviceGetHandleByIndex=refuse)]
)
def test_no_package_no_driver_or_a_lost_gpu(
    monkeypatch: pytest.MonkeyPatch, nvml: SimpleNamespace | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert describe_machine().gpus == []


def test_a_driver_that_does_not_shut_down_is_described_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(nvmlShutdown=refuse))
    assert len(describe_machine().gpus) == 1


def test_without_proc_the_processor_is_named_by_the_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("energybench.energy.machine.CPUINFO", str(tmp_path / "missing"))
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert describe_machine().cpu == "arm64"


def test_a_processor_name_in_another_encoding_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_bytes(b"model name\t: CPU\xae 3000\n")
    monkeypatch.setattr("energybench.energy.machine.CPUINFO", str(tmp_path / "cpuinfo"))
    assert describe_machine().cpu == "CPU\ufffd 3000"


def test_it_is_fast_and_does_not_import_torch() -> None:
    code = (
        "import sys\n"
        "from energybench.energy.machine import describe_machine\n"
        "describe_machine()\n"
        "print({'torch', 'torchvision', 'codecarbon', 'pandas'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    describe_machine()
    start = time.perf_counter()
    describe_machine()
    assert time.perf_counter() - start < 0.5  # some milliseconds; shared machines stutter
