"""CPU packages and their memory through RAPL, in the powercap tree of Linux' sysfs."""

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from energybench.energy.meters.base import MeterContext, MeterUnavailable
from energybench.energy.meters.sysfs import (
    RegularReads,
    number_or_none,
    read_all,
    read_number,
    text_of,
)
from energybench.energy.source import RAPL, Source

POWERCAP = "/sys/class/powercap"
MOST_WATTS = 1000.0
"""More than any package or its memory draws; used where the tree states no maximum."""
WAKES_PER_WRAP = 2.0
ALLOW = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
"""The command that lets every user read the counters."""


class RaplMeter:
    """Reads the energy counters of all packages (`cpu:<N>`) and their memory (`dram:<N>`).

    `root` is the powercap class folder. Only the zones `package-*` and `dram` under `intel-rapl`
    are read: `core` and `uncore` are parts of a package, `psys` contains it, and `intel-rapl-mmio`
    repeats it. A counter starts again at 0 after `max_energy_range_uj`, which takes some minutes of
    full load. A sleeping thread reads every counter twice in the shortest such time. Raises
    `MeterUnavailable` if there are no zones or they may not be read.
    """

    min_window_s = 0.1
    update_s = 0.001
    """About; Intel's manual, volume 3, section on RAPL."""

    def __init__(self, root: str = POWERCAP) -> None:
        self._counters = {domain: _Counter(zone) for domain, zone in _zones(Path(root))}
        if not self._counters:
            raise MeterUnavailable(f"no RAPL counters in {root} (usual in virtual machines)")
        shortest_s = min(counter.shortest_wrap_s() for counter in self._counters.values())
        self._reader = RegularReads(self._counters, shortest_s / WAKES_PER_WRAP, "energybench-rapl")

    @classmethod
    def open(cls, context: MeterContext) -> "RaplMeter":
        """Read this machine's counters; nothing of the context matters."""
        return cls()

    def domains(self) -> dict[str, Source]:
        """`cpu:<N>` and `dram:<N>` for the zones `intel-rapl:<N>`."""
        return dict.fromkeys(self._counters, RAPL)

    def read_joules(self) -> dict[str, float | MeterUnavailable]:
        """Joules per domain since the meter was opened.

        A counter that can no longer be read, or that jumps back without wrapping, has a
        `MeterUnavailable` in place of its joules.
        """
        return read_all(self._counters)

    def background_cpu_s(self) -> float:
        """CPU seconds of the thread that watches for the wrap-around."""
        return self._reader.cpu_s

    def close(self) -> None:
        """End the thread."""
        self._reader.close()


@dataclass
class _Counter:
    """One `energy_uj` counter, microjoules, that starts again at 0 after `max_energy_range_uj`."""

    zone: Path
    _last_uj: int = field(init=False)
    _total_uj: int = field(init=False, default=0)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._last_uj = read_number(self.zone / "energy_uj", ALLOW)
        self._range_uj = read_number(self.zone / "max_energy_range_uj", ALLOW)

    def joules(self) -> float:
        with self._lock:
            now_uj = read_number(self.zone / "energy_uj", ALLOW)
            step_uj = now_uj - self._last_uj
            if step_uj < 0:
                step_uj += self._range_uj
            if step_uj < 0:
                raise MeterUnavailable(f"the counter {self.zone}/energy_uj went backwards")
            self._last_uj = now_uj
            self._total_uj += step_uj
            return self._total_uj / 1e6

    def shortest_wrap_s(self) -> float:
        """Seconds from 0 to the range at the zone's largest power, or at `MOST_WATTS`."""
        stated_w = [
            number / 1e6
            for path in self.zone.glob("constraint_*_max_power_uw")
            if (number := number_or_none(path))
        ]
        watts = max([*stated_w, MOST_WATTS])
        return self._range_uj / 1e6 / watts if self._range_uj else math.inf


def _zones(root: Path) -> Iterator[tuple[str, Path]]:
    for package in sorted(root.glob("intel-rapl:*")):
        index = package.name.removeprefix("intel-rapl:")
        if not index.isdigit() or not text_of(package / "name").startswith("package"):
            continue
        yield f"cpu:{index}", package
        for part in sorted(package.glob(f"{package.name}:*")):
            if text_of(part / "name") == "dram":
                yield f"dram:{index}", part
