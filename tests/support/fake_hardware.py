"""Stand-ins for hardware that the machine running the tests may not have."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from energybench.energy.source import Source

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
    name: str = "NVIDIA A100"
    millijoules: int | None = 1_000_000
    """None: a GPU without energy counter."""
    milliwatts: int | None = 250_000
    """None: a GPU that does not tell its power."""
    mig: bool | None = None
    """None: a GPU that does not know MIG."""
    lost: bool = False
    states: bool = True
    """Whether it tells anything beside its energy."""
    event_reasons: int = 0
    violation_ns: int = 0
    pids: tuple[int, ...] = ()


@dataclass
class FakeNvml:
    """What the package uses of the pynvml module."""

    gpus: list[FakeGpu]
    sessions: int = 0
    read: list[str] = field(default_factory=list)
    """UUIDs whose counter was asked for."""

    NVMLError = NVMLError
    NVMLError_NotSupported = NVMLError_NotSupported
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2
    NVML_PERF_POLICY_POWER = 0
    NVML_PERF_POLICY_THERMAL = 1
    nvmlClocksEventReasonSwPowerCap = 0x04
    nvmlClocksEventReasonHwSlowdown = 0x08
    nvmlClocksEventReasonSwThermalSlowdown = 0x20
    nvmlClocksEventReasonHwThermalSlowdown = 0x40
    nvmlClocksEventReasonHwPowerBrakeSlowdown = 0x80

    def nvmlInit(self) -> None:
        self.sessions += 1

    def nvmlShutdown(self) -> None:
        self.sessions -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.82.07"

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return _there(self.gpus[index])

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> str:
        return handle.uuid

    def nvmlDeviceGetName(self, handle: FakeGpu) -> str:
        return handle.name

    def nvmlDeviceGetPowerManagementLimit(self, handle: FakeGpu) -> int:
        return 400_000

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu) -> SimpleNamespace:
        return SimpleNamespace(total=80 * 2**30)

    def nvmlDeviceGetMigMode(self, handle: FakeGpu) -> list[int]:
        mode = int(_known(handle.mig))
        return [mode, mode]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: FakeGpu) -> int:
        self.read.append(handle.uuid)
        return _known(_there(handle).millijoules)

    def nvmlDeviceGetPowerUsage(self, handle: FakeGpu) -> int:
        return _known(_there(handle).milliwatts)

    def nvmlDeviceGetTemperature(self, handle: FakeGpu, sensor: int) -> int:
        return 61 if _tells(handle) else 0

    def nvmlDeviceGetClockInfo(self, handle: FakeGpu, kind: int) -> int:
        return {self.NVML_CLOCK_SM: 1410, self.NVML_CLOCK_MEM: 1593}[kind] * _tells(handle)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: FakeGpu) -> int:
        return handle.event_reasons * _tells(handle)

    def nvmlDeviceGetViolationStatus(self, handle: FakeGpu, policy: int) -> SimpleNamespace:
        violated = handle.violation_ns if policy == self.NVML_PERF_POLICY_POWER else 0
        return SimpleNamespace(violationTime=violated * _tells(handle))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: FakeGpu) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid) for pid in handle.pids] * _tells(handle)


def _there(handle: FakeGpu) -> FakeGpu:
    if handle.lost:
        raise NVMLError_GpuIsLost
    return handle


def _tells(handle: FakeGpu) -> int:
    if not _there(handle).states:
        raise NVMLError_NotSupported
    return 1


def _known(value: int | None) -> int:
    if value is None:
        raise NVMLError_NotSupported
    return value


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


@dataclass
class FakeMeter:
    """A meter whose joules the test sets."""

    joules: dict[str, float]
    source: str | Source = "fake"
    min_window_s: float = 0.0
    failure: Exception | None = None
    closed: int = 0

    def domains(self) -> dict[str, str | Source]:
        return dict.fromkeys(self.joules, self.source)

    def read_joules(self) -> dict[str, float]:
        if self.failure is not None:
            raise self.failure
        return dict(self.joules)

    def close(self) -> None:
        self.closed += 1


@dataclass
class FakeHwmon:
    """An hwmon class folder under `root`."""

    root: Path

    def chip(self, folder: str, name: str, pci: str | None = None, **files: object) -> Path:
        """Make or change a chip; `files` are its readings: `energy1_input=5`."""
        made = self.root / folder
        made.mkdir(parents=True, exist_ok=True)
        (made / "name").write_text(f"{name}\n")
        if pci is not None and not (made / "device").exists():
            place = self.root / "pci" / pci
            place.mkdir(parents=True)
            (made / "device").symlink_to(place)
        for file, value in files.items():
            (made / file).write_text(f"{value}\n")
        return made


@dataclass
class FakePmu:
    """The folder of one of perf's PMUs."""

    root: Path

    def describe(self, kind: int, cpumask: str, **events: tuple[str, str]) -> None:
        """State the PMU's number, its processors, and each event's code and scale."""
        (self.root / "events").mkdir(parents=True, exist_ok=True)
        (self.root / "type").write_text(f"{kind}\n")
        (self.root / "cpumask").write_text(f"{cpumask}\n")
        for name, (code, scale) in events.items():
            event = self.root / "events" / name.replace("_", "-")
            event.write_text(f"{code}\n")
            event.with_name(f"{event.name}.scale").write_text(f"{scale}\n")
            event.with_name(f"{event.name}.unit").write_text("Joules\n")
