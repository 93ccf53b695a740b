"""CPU packages and their memory through RAPL, as events of Linux' perf.

These are the counters of the meter `rapl`, by another door: the events `energy-pkg` and
`energy-ram` of the PMU `power` (`arch/x86/events/rapl.c` in Linux). They can be read where
powercap's files are root's alone, given CAP_PERFMON or `kernel.perf_event_paranoid` of 0 or less.
The kernel watches the wrap-around, counts in units of 2^-32 J and gives them in 64 bits. The file
`cpumask` names one processor of each package. The events are opened by the system call itself
(perf_event_open(2)): the program `perf` reports only when it ends.
"""

import ctypes
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from energybench.energy.meters.base import MeterAbsent, MeterContext, MeterUnavailable
from energybench.energy.meters.sysfs import read_number, text_of
from energybench.energy.source import PERF, Source

PMU = "/sys/bus/event_source/devices/power"
EVENTS = {"cpu": "energy-pkg", "dram": "energy-ram"}
"""Kind -> its event; `energy-cores` and `energy-gpu` are parts of a package, `energy-psys` more."""
_CALLS = {"x86_64": 298, "i686": 336, "aarch64": 241}
"""Machine -> number of the system call perf_event_open."""
_CLOSE_ON_EXEC = 8  # PERF_FLAG_FD_CLOEXEC


class _Attributes(ctypes.Structure):
    """`struct perf_event_attr` in its first version, of 64 bytes; unused fields are 0."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("unused", ctypes.c_uint64 * 6),
    )


class PerfMeter:
    """Reads the energy counters of all packages (`cpu:<N>`) and their memory (`dram:<N>`).

    `pmu` is the folder of perf's PMU. Raises `MeterAbsent` without one, and `MeterUnavailable` if
    its events may not be opened.
    """

    min_window_s = 0.1
    update_s = 0.001
    """As RAPL's."""

    def __init__(self, pmu: str = PMU) -> None:
        self._events: dict[str, _Event] = {}
        try:
            for domain, event in _events(Path(pmu)):
                self._events[domain] = event
        except MeterUnavailable:
            self.close()
            raise
        if not self._events:
            raise MeterAbsent(f"no energy events of perf in {pmu} (usual in virtual machines)")

    @classmethod
    def open(cls, context: MeterContext) -> "PerfMeter":
        """Read this machine's counters, unless another meter reads the processor."""
        if "cpu" in context.kinds_read:
            raise MeterAbsent("another meter reads the processor")
        return cls()

    def domains(self) -> dict[str, Source]:
        """`cpu:<N>` and `dram:<N>` for the Nth processor in `cpumask`."""
        return dict.fromkeys(self._events, PERF)

    def read_joules(self) -> dict[str, float | MeterUnavailable]:
        """Joules per domain since the meter was opened, or why it can no longer be read."""
        found: dict[str, float | MeterUnavailable] = {}
        for domain, event in self._events.items():
            try:
                found[domain] = event.joules()
            except OSError as error:
                found[domain] = MeterUnavailable(f"perf cannot read {domain}: {error.strerror}")
        return found

    def close(self) -> None:
        """Close the events."""
        for event in self._events.values():
            event.close()


class _Event:
    """One event on one processor, which counts from when it is opened."""

    def __init__(self, kind: int, config: int, scale: float, processor: int) -> None:
        self._scale = scale
        self._descriptor: int | None = _opened(kind, config, processor)

    def joules(self) -> float:
        if self._descriptor is None:
            raise OSError(errno.EBADF, "it was closed")
        return int.from_bytes(os.read(self._descriptor, 8), "little") * self._scale

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _events(pmu: Path) -> Iterator[tuple[str, _Event]]:
    for kind, name in EVENTS.items():
        stated = text_of(pmu / "events" / name)
        if not stated:
            continue
        config = stated.partition("event=")[2].partition(",")[0]
        scale = text_of(pmu / "events" / f"{name}.scale")
        try:
            numbers = int(config, 0), float(scale)
        except ValueError as error:
            raise MeterUnavailable(f"cannot read the event {name} in {pmu}") from error
        for index, processor in enumerate(_processors(text_of(pmu / "cpumask"))):
            yield f"{kind}:{index}", _Event(read_number(pmu / "type"), *numbers, processor)


def _processors(mask: str) -> list[int]:
    """The numbers in a list of the kernel's: "0,28" or "0-1"."""
    found: list[int] = []
    for part in filter(None, mask.split(",")):
        first, _, last = part.partition("-")
        try:
            found.extend(range(int(first), int(last or first) + 1))
        except ValueError as error:
            raise MeterUnavailable(f"perf's cpumask is {mask[:40]!r}") from error
    return found


def _opened(kind: int, config: int, processor: int) -> int:
    """A descriptor of the event on `processor`, for all of its processes."""
    number = _CALLS.get(platform.machine())
    if number is None:
        raise MeterUnavailable(f"perf's system call is not known on {platform.machine()}")
    attributes = _Attributes(type=kind, size=ctypes.sizeof(_Attributes), config=config)
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    found = call(
        ctypes.c_long(number),
        ctypes.byref(attributes),
        ctypes.c_int(-1),
        ctypes.c_int(processor),
        ctypes.c_int(-1),
        ctypes.c_ulong(_CLOSE_ON_EXEC),
    )
    if found >= 0:
        return int(found)
    code = ctypes.get_errno()
    if code in (errno.EACCES, errno.EPERM):
        raise MeterUnavailable(
            "not permitted to open perf's energy events; allow it with: "
            "sudo sysctl kernel.perf_event_paranoid=0"
        )
    raise MeterUnavailable(f"perf cannot open its energy events: {os.strerror(code)}")
