"""Who uses the processors within a window: the measured processes, others, the hypervisor.

The seconds come from psutil. On Linux the kernel counts them in ticks of 10 ms, so a short window
is judged only by what is more than a few ticks.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

import psutil

from energybench.energy.readings import CpuUse

BUSY_SHARE = 0.05
"""Share of all CPU seconds that other processes may use before a window is `contaminated`."""
STEAL_SHARE = 0.02
"""Share of all CPU seconds that a hypervisor may withhold before a window is `contaminated`."""
TICK_S = 0.01
"""Seconds of one tick of the kernel's counters, see USER_HZ in proc(5)."""
_TICKS = 5
"""Ticks by which a difference of two readings may be wrong: one for each kind of time in it."""
_TICKS_PER_PROCESSOR = 2
"""The same, for the kernel samples each processor on its own; the larger of both counts."""
_BUSY_FIELDS = ("user", "nice", "system", "irq", "softirq")
"""Fields of `psutil.cpu_times` that are work; on Linux `user` contains the time of guests."""


@dataclass(frozen=True)
class _Moment:
    time_s: float
    own_s: float
    machine_s: float
    steal_s: float


class CpuWatch:
    """Reads the CPU seconds of a process tree and of the machine; safe to use from threads.

    The tree is this process, `processes` (ids) and the descendants of all these, also those that
    ended in between if their parent waited for them. A reading takes some 0.2 ms, and 0.06 ms for
    each further process of the tree: the parent of a process is looked up once, when its id is new.
    """

    def __init__(self, processes: Iterable[int] = ()) -> None:
        self._lock = Lock()
        self._roots = {os.getpid(), *processes}
        self._members: dict[int, psutil.Process] = {}
        self._seen: set[int] = set()

    def moment(self) -> _Moment | None:
        """The seconds used until now; None where the system does not tell."""
        with self._lock:
            try:
                own_s = self._own_s()
                times = psutil.cpu_times()
            except (psutil.Error, OSError, NotImplementedError):
                return None
            machine_s = sum(getattr(times, name, 0.0) for name in _BUSY_FIELDS)
            if machine_s <= 0.0:  # a sandbox may show a machine that never worked
                return None
            return _Moment(time.perf_counter(), own_s, machine_s, getattr(times, "steal", 0.0))

    def since(self, start: _Moment | None) -> CpuUse | None:
        """The use from `start` until now; None if either moment is not known."""
        end = self.moment()
        processors = psutil.cpu_count()
        if start is None or end is None or not processors:
            return None
        return CpuUse(
            own_s=max(0.0, end.own_s - start.own_s),
            machine_s=max(0.0, end.machine_s - start.machine_s),
            steal_s=max(0.0, end.steal_s - start.steal_s),
            capacity_s=processors * (end.time_s - start.time_s),
        )

    def members(self) -> set[int]:
        """The ids of the processes in the tree, as of the last reading."""
        with self._lock:
            return set(self._members)

    def _own_s(self) -> float:
        self._find_new()
        total = 0.0
        for pid, process in list(self._members.items()):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                del self._members[pid]
                continue
            total += times.user + times.system
            total += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        return total

    def _find_new(self) -> None:
        """Add the processes that have joined the tree since the last call."""
        present = set(psutil.pids())
        parents = {pid: _parent(pid) for pid in present - self._seen}
        self._seen = present
        while joined := {pid for pid in parents if self._is_ours(pid, parents[pid])}:
            for pid in joined:
                del parents[pid]
                with suppress(psutil.NoSuchProcess):
                    self._members[pid] = psutil.Process(pid)

    def _is_ours(self, pid: int, parent: int | None) -> bool:
        return pid in self._roots or parent in self._members


def _parent(pid: int) -> int | None:
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None


def is_contaminated(cpu: CpuUse, duration_s: float, busy_share: float = BUSY_SHARE) -> bool:
    """Whether others took more than `busy_share` of the capacity, or a hypervisor over 2 %.

    Less than a few ticks is never too much, see `_TICKS`.
    """
    return _is_over(cpu.others_s, busy_share, cpu, duration_s) or _is_stolen(cpu, duration_s)


def is_idle(cpu: CpuUse, duration_s: float, busy_share: float = BUSY_SHARE) -> bool:
    """Whether the whole machine, the measured processes included, used at most `busy_share`."""
    busy = _is_over(cpu.machine_s, busy_share, cpu, duration_s)
    return not busy and not _is_stolen(cpu, duration_s)


def use_text(cpu: CpuUse) -> str:
    """Who used the machine: "others used 48 % of the processors, this process 50 %"."""
    text = f"others used {_percent(cpu.others_s, cpu)} of the processors, this process "
    text += _percent(cpu.own_s, cpu)
    return text + (f", the hypervisor {_percent(cpu.steal_s, cpu)}" if cpu.steal_s > 0 else "")


def _percent(seconds: float, cpu: CpuUse) -> str:
    return f"{100 * seconds / cpu.capacity_s:.0f} %" if cpu.capacity_s > 0 else "0 %"


def _is_stolen(cpu: CpuUse, duration_s: float) -> bool:
    return _is_over(cpu.steal_s, STEAL_SHARE, cpu, duration_s)


def _is_over(seconds: float, share: float, cpu: CpuUse, duration_s: float) -> bool:
    processors = cpu.capacity_s / duration_s if duration_s > 0 else 0.0
    ticks = max(_TICKS, _TICKS_PER_PROCESSOR * processors)
    return seconds > share * cpu.capacity_s and seconds > ticks * TICK_S
