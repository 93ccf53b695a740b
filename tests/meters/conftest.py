"""Stand-ins for hardware that the machine running the tests may not have."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

A100 = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
OTHER = "GPU-8932aaaa-0000-4106-c12f-20bd9faed9f6"


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):
    def __str__(self) -> str:
        return "Not Supported"


class NVMLError_GpuIsLost(NVMLError):
    def __str__(self) -> str:
        return "GPU is lost"


@dataclass
class FakeGpu:
    uuid: str
    millijoules: int = 1_000_000
    mig: bool | None = None
    """None: a GPU that does not know MIG."""
    counts: bool = True
    lost: bool = False


@dataclass
class FakeNvml:
    """What `NvmlMeter` uses of the pynvml module."""

    gpus: list[FakeGpu]
    sessions: int = 0
    read: list[str] = field(default_factory=list)
    """UUIDs whose counter was asked for."""

    NVMLError = NVMLError
    NVMLError_NotSupported = NVMLError_NotSupported

    def nvmlInit(self) -> None:
        self.sessions += 1

    def nvmlShutdown(self) -> None:
        self.sessions -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        if self.gpus[index].lost:
            raise NVMLError_GpuIsLost
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> str:
        return handle.uuid

    def nvmlDeviceGetMigMode(self, handle: FakeGpu) -> list[int]:
        if handle.mig is None:
            raise NVMLError_NotSupported
        return [int(handle.mig), int(handle.mig)]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: FakeGpu) -> int:
        self.read.append(handle.uuid)
        if handle.lost:
            raise NVMLError_GpuIsLost
        if not handle.counts:
            raise NVMLError_NotSupported
        return handle.millijoules


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """An NVML with two GPUs."""
    fake = FakeNvml([FakeGpu(A100), FakeGpu(OTHER)])
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@dataclass
class FakePowercap:
    """A powercap class folder under `root`."""

    root: Path

    def zone(self, path: str, name: str, energy_uj: int, range_uj: int = 262_143_328_850) -> Path:
        zone = self.root / path
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "name").write_text(f"{name}\n")
        (zone / "max_energy_range_uj").write_text(f"{range_uj}\n")
        (zone / "energy_uj").write_text(f"{energy_uj}\n")
        return zone


@pytest.fixture
def powercap(tmp_path: Path) -> FakePowercap:
    """An empty powercap class folder."""
    return FakePowercap(tmp_path)


@dataclass
class FakeMeter:
    """A meter whose joules the test sets."""

    joules: dict[str, float]
    source: str = "fake"
    min_window_s: float = 0.0
    failure: Exception | None = None
    closed: int = 0

    def domains(self) -> list[str]:
        return list(self.joules)

    def read_joules(self) -> dict[str, float]:
        if self.failure is not None:
            raise self.failure
        return dict(self.joules)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def fakes() -> SimpleNamespace:
    """The stand-ins themselves."""
    return SimpleNamespace(Meter=FakeMeter, Gpu=FakeGpu, A100=A100, OTHER=OTHER)
