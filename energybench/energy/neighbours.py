"""Other processes that keep the processors busy: who they are, and a wait until they stop."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from energybench.energy.cpu_use import BUSY_SHARE, CpuWatch, is_contaminated, use_text
from energybench.energy.readings import CpuUse
from energybench.energy.units import format_seconds

HOLD_S = 2.0
"""Seconds in a row for which a machine must be quiet before a wait for it ends."""
_LOOK_S = 0.5
_NAMED = 3
_NAMED_SHARE = 0.01


@dataclass(frozen=True)
class Neighbour:
    """A process outside the measured tree."""

    pid: int
    name: str
    """Its name, without arguments."""
    share: float
    """Share of all CPU seconds that it used, 0..1."""

    def __str__(self) -> str:
        return f"{self.pid} {self.name} {100 * self.share:.0f} %"


@dataclass(frozen=True)
class Busyness:
    """How busy the machine was for a while, and by whom."""

    cpu: CpuUse | None
    """None where the system does not tell."""
    busiest: list[Neighbour]
    """The processes of others that used most, at most three, each over 1 %."""
    contaminated: bool
    """Whether a window of that time would be `contaminated`."""

    def __str__(self) -> str:
        if self.cpu is None:
            return "this system does not tell who uses the processors"
        names = ", ".join(map(str, self.busiest))
        return use_text(self.cpu) + (f" ({names})" if names else "")


def observe(watch: CpuWatch, seconds: float = _LOOK_S, busy_share: float = BUSY_SHARE) -> Busyness:
    """Look at the machine for `seconds`, asleep; `watch` knows which processes are measured.

    Looking at every process takes some milliseconds, so this belongs in no window.
    """
    before, start = _seconds_by_process(), watch.moment()
    began = time.perf_counter()
    time.sleep(seconds)
    duration_s = time.perf_counter() - began
    cpu, after = watch.since(start), _seconds_by_process()
    if cpu is None:
        return Busyness(None, [], False)
    contaminated = is_contaminated(cpu, duration_s, busy_share)
    own = watch.members()
    found = [
        Neighbour(pid, name, (seconds - before.get((pid, born), ("", 0.0))[1]) / cpu.capacity_s)
        for (pid, born), (name, seconds) in after.items()
        if pid not in own
    ]
    found.sort(key=lambda one: one.share, reverse=True)
    busiest = [one for one in found[:_NAMED] if one.share > _NAMED_SHARE]
    return Busyness(cpu, busiest, contaminated)


def _seconds_by_process() -> dict[tuple[int, float], tuple[str, float]]:
    """Return (id, birth) -> (name, CPU seconds since then) of every process that may be seen."""
    found = {}
    for process in psutil.process_iter(["name", "cpu_times", "create_time"]):
        times, name = process.info["cpu_times"], process.info["name"]
        if times is not None:
            born = process.info["create_time"] or 0.0
            found[process.pid, born] = name or "?", times.user + times.system
    return found


def wait_until_quiet(
    at_most_s: float,
    say: Callable[[str], None],
    look: Callable[[], Busyness],
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Wait until others were quiet for `HOLD_S`, at most `at_most_s` seconds; return whether so.

    `look` observes the machine for a while. `say` is called with a line as soon as there is
    something to wait for, and with another when the wait is over.
    """
    began = quiet_since = clock()
    waited = False
    while True:
        found = look()
        now = clock()
        if found.cpu is None:
            say(f"not waiting for a quiet machine: {found}")
            return False
        if found.contaminated:
            if not waited:
                say(f"waiting for a quiet machine, at most {format_seconds(at_most_s)}: {found}")
            waited, quiet_since = True, now
        if now - quiet_since >= min(HOLD_S, at_most_s):
            if waited:
                say(f"the machine is quiet after {format_seconds(now - began)}")
            return True
        if now - began >= at_most_s:
            say(f"the machine was not quiet within {format_seconds(at_most_s)}: {found}")
            return False
