"""The adapter against a stand-in for Zeus 0.16."""

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from energybench.energy.meters.base import MeterContext, MeterUnavailable
from energybench.energy.meters.zeus import ZeusMeter
from energybench.energy.opening import open_meters
from energybench.energy.source import ZEUS


class ZeusBaseError(Exception):
    pass


@dataclass
class Gpus:
    millijoules: list[int]
    counts: bool = True
    lost: bool = False

    def __len__(self) -> int:
        return len(self.millijoules)

    def supports_get_total_energy_consumption(self, index: int) -> bool:
        return self.counts

    def get_total_energy_consumption(self, index: int) -> int:
        if self.lost:
            raise ZeusBaseError("GPU is lost")
        return self.millijoules[index]


@dataclass
class Cpus:
    cpu_mj: float = 1e6
    dram_mj: float | None = 5e5

    def __len__(self) -> int:
        return 1

    def supports_get_dram_energy_consumption(self, index: int) -> bool:
        return self.dram_mj is not None

    def get_total_energy_consumption(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(cpu_mj=self.cpu_mj, dram_mj=self.dram_mj)


@dataclass
class Device:
    """The module `zeus.device`; None is a library that finds no such device."""

    gpus: Gpus | None = None
    cpus: Cpus | None = None
    soc: dict[str, float] | None = field(default=None)

    def get_gpus(self) -> Any:
        return _found(self.gpus, "NVML and AMDSMI unavailable.")

    def get_cpus(self) -> Any:
        return _found(self.cpus, "RAPL unavailable.")

    def get_soc(self) -> SimpleNamespace:
        readings = _found(self.soc, "No observable SoC.")
        return SimpleNamespace(get_total_energy_consumption=lambda: SimpleNamespace(**readings))


def _found(value: Any, reason: str) -> Any:
    if value is None:
        raise ZeusBaseError(reason)
    return value


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    zeus, exception = ModuleType("zeus"), ModuleType("zeus.exception")
    zeus.device = device  # type: ignore[attr-defined]
    exception.ZeusBaseError = ZeusBaseError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zeus", zeus)
    monkeypatch.setitem(sys.modules, "zeus.device", device)
    monkeypatch.setitem(sys.modules, "zeus.exception", exception)
    return device


def test_the_gpus_in_use_and_the_packages_are_read(device: Device) -> None:
    device.gpus, device.cpus = Gpus([1000, 2000, 3000]), Cpus()
    meter = ZeusMeter([1])
    assert meter.domains() == dict.fromkeys(["gpu:1", "cpu:0", "dram:0"], ZEUS)
    device.gpus.millijoules = [9000, 2500, 9000]
    device.cpus.cpu_mj += 4000
    device.cpus.dram_mj = 5.01e5
    assert meter.read_joules() == {"gpu:1": 0.5, "cpu:0": 4.0, "dram:0": 1.0}


def test_it_reads_only_what_others_leave(device: Device) -> None:
    device.gpus, device.cpus = Gpus([1000]), Cpus()
    context = MeterContext(gpu_indices=(0,), kinds_read=frozenset({"cpu", "dram"}))
    assert ZeusMeter.open(context).domains() == {"gpu:0": ZEUS}
    with pytest.raises(MeterUnavailable, match=r"nothing to read: .*No observable SoC"):
        ZeusMeter([0], skip={"gpu", "cpu", "dram"})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cpu_total_mj": 1e3, "gpu_mj": 1e3, "dram_mj": 1e3, "ane_mj": 0}, "cpu gpu dram ane"),
        ({"cpu_energy_mj": 1e3, "gpu_energy_mj": 1e3, "total_energy_mj": 9e3}, "cpu gpu"),
        ({"cpu_total_mj": 1e3, "gpu_mj": None}, "cpu"),
    ],
    ids=["Apple", "Jetson", "partial"],
)
def test_systems_on_a_chip(device: Device, fields: dict[str, float], expected: str) -> None:
    device.soc = fields
    meter = ZeusMeter()
    assert list(meter.domains()) == [f"{kind}:soc" for kind in expected.split()]
    fields[next(iter(fields))] = 3e3
    assert meter.read_joules()["cpu:soc"] == 2.0


def test_no_device_is_unavailable_and_not_zero(device: Device) -> None:
    with pytest.raises(MeterUnavailable, match="NVML and AMDSMI unavailable; RAPL unavailable; No"):
        ZeusMeter(None)
    with pytest.raises(MeterUnavailable, match="no GPU in use"):
        ZeusMeter([])
    device.gpus = Gpus([1, 2])
    with pytest.raises(MeterUnavailable, match="2 GPUs, and none is named"):
        ZeusMeter(None)
    device.gpus.counts = False
    with pytest.raises(MeterUnavailable, match="GPU 0 has no energy counter"):
        ZeusMeter([0])


def test_nvidia_is_not_read_where_nvml_refuses(device: Device) -> None:
    class NVIDIAGPUs(Gpus):
        """Named as Zeus names it."""

    device.gpus = NVIDIAGPUs([1000])
    with pytest.raises(MeterUnavailable, match="NVIDIA's GPUs are for the meter nvml"):
        ZeusMeter([0])


def test_a_device_that_fails_has_a_reason(device: Device) -> None:
    device.gpus, device.cpus = Gpus([1000]), Cpus(dram_mj=None)
    meter = ZeusMeter([0])
    device.gpus.lost = True
    device.cpus.cpu_mj = 0.0
    read = meter.read_joules()
    assert [str(read[domain]) for domain in ("gpu:0", "cpu:0")] == [
        "Zeus cannot read gpu:0: GPU is lost",
        "the counter of cpu:0 went backwards",
    ]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeus", None)
    with pytest.raises(MeterUnavailable, match=r"pip install 'energybench\[zeus\]'"):
        ZeusMeter()


def test_auto_takes_it_before_an_estimate(device: Device) -> None:
    device.cpus = Cpus()
    with open_meters(["auto"]) as meters:
        assert meters.source_names == {"cpu:0": "zeus", "dram:0": "zeus"}
        assert meters.unavailable == {
            "nvml": "no GPU in use",
            "rapl": meters.unavailable["rapl"],
            "codecarbon": "other meters read all that it would estimate",
        }
