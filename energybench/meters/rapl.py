"""CPU packages and their memory through RAPL, as the Linux powercap tree in sysfs shows it."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from energybench.meters.base import MeterContext, MeterUnavailable

POWERCAP = "/sys/class/powercap"


class RaplMeter:
    """Reads the energy counters of all packages (`cpu:<N>`) and their memory (`dram:<N>`).

    `root` is the powercap class folder. Of its zones those named `package-*` and `dram` under
    `intel-rapl` count: `core` and `uncore` are parts of a package, `psys` contains it, and
    `intel-rapl-mmio` repeats it. Raises `MeterUnavailable` where there are no zones or they may
    not be read. Counters may wrap around at most once between two reads (some 20 minutes at 200 W).
    """

    source = "rapl"
    min_window_s = 0.1

    def __init__(self, root: str = POWERCAP) -> None:
        self._counters = {domain: _Counter(zone) for domain, zone in _zones(Path(root))}
        if not self._counters:
            raise MeterUnavailable(f"no RAPL counters in {root} (usual in virtual machines)")

    @classmethod
    def open(cls, context: MeterContext) -> "RaplMeter":
        """Read this machine's counters; nothing of the context matters."""
        return cls()

    def domains(self) -> list[str]:
        """`cpu:<N>` and `dram:<N>` for the zones `intel-rapl:<N>`."""
        return list(self._counters)

    def read_joules(self) -> dict[str, float]:
        """Joules per domain since the meter was opened.

        Raises `MeterUnavailable` for a counter that cannot be read or jumps back without wrapping.
        """
        return {domain: counter.joules() for domain, counter in self._counters.items()}

    def close(self) -> None:
        """Nothing to release."""


@dataclass
class _Counter:
    """One `energy_uj` counter, microjoules, that starts again at 0 after `max_energy_range_uj`."""

    zone: Path
    _last_uj: int = field(init=False)
    _total_uj: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._last_uj = _read_number(self.zone / "energy_uj")
        self._range_uj = _read_number(self.zone / "max_energy_range_uj")

    def joules(self) -> float:
        now_uj = _read_number(self.zone / "energy_uj")
        step_uj = now_uj - self._last_uj
        if step_uj < 0:
            step_uj += self._range_uj
        if step_uj < 0:
            raise MeterUnavailable(f"the counter {self.zone}/energy_uj went backwards")
        self._last_uj = now_uj
        self._total_uj += step_uj
        return self._total_uj / 1e6


def _zones(root: Path) -> Iterator[tuple[str, Path]]:
    for package in sorted(root.glob("intel-rapl:*")):
        index = package.name.removeprefix("intel-rapl:")
        if not index.isdigit() or not _zone_name(package).startswith("package"):
            continue
        yield f"cpu:{index}", package
        for part in sorted(package.glob(f"{package.name}:*")):
            if _zone_name(part) == "dram":
                yield f"dram:{index}", part


def _zone_name(zone: Path) -> str:
    try:
        return (zone / "name").read_text().strip()
    except OSError:  # not a zone
        return ""


def _read_number(path: Path) -> int:
    try:
        return int(path.read_text())
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise MeterUnavailable(
                f"not permitted to read {path}; allow it with: "
                "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
            ) from error
        raise MeterUnavailable(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise MeterUnavailable(f"{path} holds no number") from error
