"""Another power limit of a GPU for a while; the GPU has its own again whatever happens.

NVML's `nvmlDeviceSetPowerManagementLimit` lasts until the driver is unloaded, so a killed session
would leave the GPU slower for everyone. Here another process, the guard, sets the limit, waits for
the end of this one, and sets the former limit again (see `power_limit_guard`). It writes a note
beside the lock files before it changes anything. Where guard and session are killed together, as a
cluster does with a job, the next session that asks for a limit restores the former one from it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energybench.energy.lock_folder import lock_folder
from energybench.energy.machine import gpu_id
from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.nvml.devices import Gpu, in_use, initialized
from energybench.errors import UsageError

GUARD = "energybench.energy.power_limit_guard"
READY = "ready"
"""What the guard says once the limit is set."""
_END_S = 30.0
"""The longest that the guard may take to restore the limit."""


@dataclass(frozen=True)
class PowerLimits:
    """The power limits of one GPU, watts."""

    name: str
    now: float
    default: float
    least: float
    most: float

    def check(self, watts: float) -> None:
        """Raise `UsageError` for a limit that the GPU does not take."""
        if not self.least <= watts <= self.most:
            raise UsageError(
                f"a power limit of {watts:g} W is out of the range of this {self.name}: "
                f"{self.least:g} to {self.most:g} W"
            )

    def of(self, text: str) -> float | None:
        """Return the watts of "own" (None: no other limit), "250W" or "80%" of the default.

        A share is brought into the range of the GPU. Raises `UsageError` for anything else.
        """
        if text == "own":
            return None
        with suppress(ValueError):
            if text.endswith("%"):
                share = float(text[:-1]) / 100
                if 0 < share <= 1:
                    return float(round(min(max(share * self.default, self.least), self.most)))
            elif text.endswith("W"):
                watts = float(text[:-1])
                self.check(watts)
                return watts
        raise UsageError(f"a power limit is {text!r}; write own, 250W, or 80% of the default")


def read_limits(uuid: str) -> PowerLimits:
    """Return the power limits of a GPU; raises `UsageError` where the GPU does not tell them."""
    with _opened(uuid) as (nvml, gpu):
        least, most = nvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu.handle)
        now = nvml.nvmlDeviceGetPowerManagementLimit(gpu.handle)
        default = nvml.nvmlDeviceGetPowerManagementDefaultLimit(gpu.handle)
        return PowerLimits(gpu.name, now / 1e3, default / 1e3, least / 1e3, most / 1e3)


@contextmanager
def power_limit(
    uuid: str, watts: float, say: Callable[[str], None] = lambda line: None
) -> Iterator[None]:
    """Give the GPU called `uuid` a power limit of `watts` in the block, and its own after it.

    `say` is told where a killed session had left another limit, which is restored first. Raises
    `UsageError` for a limit out of range, without the permission to set one, while another
    session holds one, and where the guard cannot be started.
    """
    restore_left_over(uuid, say)
    read_limits(uuid).check(watts)
    note, armed = note_path(uuid), False
    command = [sys.executable, "-P", "-m", GUARD, uuid, str(round(watts * 1e3)), str(note)]
    guard = subprocess.Popen(
        [*command, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C and a terminal that goes away do not reach it
    )
    assert guard.stdin is not None
    assert guard.stdout is not None
    try:
        said = guard.stdout.readline().strip()
        if said != READY:
            raise UsageError(said or "the guard of the power limit has ended; look at its error")
        armed = True
        yield
    finally:
        with suppress(OSError):
            guard.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            guard.wait(_END_S)
        guard.stdout.close()
        if armed and note.exists():  # somebody has killed the guard
            restore(note)


def restore_left_over(uuid: str, say: Callable[[str], None]) -> None:
    """Restore the limit that a session left that was killed with its guard; say so in a line.

    Raises `UsageError` where another session's guard still holds a limit, and where restoring
    fails.
    """
    note = note_path(uuid)
    if not note.exists():
        return
    if _lives(_read(note)):
        raise UsageError(
            "another session has changed the power limit of this GPU; wait until it ends"
        )
    watts = restore(note)
    say(f"the power limit of the GPU is {watts:g} W again: a killed session had left another one")


def restore(note: Path) -> float:
    """Set the limit that a note has, remove the note, and return the limit in watts."""
    found = _read(note)
    with _opened(found["uuid"]) as (nvml, gpu):
        set_limit(nvml, gpu, found["milliwatts"])
    note.unlink(missing_ok=True)
    return float(found["milliwatts"]) / 1e3


def set_limit(nvml: Any, gpu: Gpu, milliwatts: int) -> None:
    """Set the limit; raises `UsageError` without the permission, or where the GPU refuses."""
    try:
        nvml.nvmlDeviceSetPowerManagementLimit(gpu.handle, milliwatts)
    except nvml.NVMLError_NoPermission as error:
        raise UsageError(
            f"no permission to set the power limit of this {gpu.name}; run as root, or leave out "
            "--energy-allow-power-limit"
        ) from error
    except nvml.NVMLError as error:
        raise UsageError(
            f"this {gpu.name} takes no power limit of {milliwatts / 1e3:g} W: {error}; leave out "
            "--energy-allow-power-limit"
        ) from error


def note_path(uuid: str) -> Path:
    """Return the file that has a GPU's own limit while it has another one."""
    with _opened(uuid) as (_, gpu):
        return lock_folder() / f"power-limit-{gpu_id(gpu.uuid)}.json"


def write_note(note: Path, gpu: Gpu, milliwatts: int) -> None:
    """Write the limit to restore; raises `UsageError` where a note is there already."""
    import psutil

    own = psutil.Process()
    data = {"uuid": gpu.uuid, "milliwatts": milliwatts, "pid": own.pid, "born": own.create_time()}
    try:
        number = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(
            f"cannot write {note} ({error.strerror}), which would restore the power limit after a "
            "crash; remove it if no other session runs"
        ) from error
    with os.fdopen(number, "w") as file:
        json.dump(data, file)


def _read(note: Path) -> dict[str, Any]:
    """Read a note of this user's; anyone may put a file into the folder."""
    try:
        if hasattr(os, "getuid") and note.lstat().st_uid != os.getuid():
            raise UsageError(f"{note} is another user's, who has changed the power limit")
        data: Any = json.loads(note.read_text())
        return {
            "uuid": str(data["uuid"]),
            "milliwatts": int(data["milliwatts"]),
            "pid": int(data["pid"]),
            "born": float(data["born"]),
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"cannot read {note}; remove it, and check the limit by nvidia-smi -q -d POWER"
        ) from error


def _lives(found: dict[str, Any]) -> bool:
    """Whether the guard that wrote a note still runs."""
    import psutil

    with suppress(psutil.Error):
        guard = psutil.Process(found["pid"])
        same = abs(guard.create_time() - found["born"]) < 1.0
        return same and guard.status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def _opened(uuid: str) -> Iterator[tuple[Any, Gpu]]:
    """Open NVML and find a GPU; raises `UsageError` for what NVML cannot do."""
    try:
        nvml = initialized()
    except MeterUnavailable as error:
        raise UsageError(f"no power limit can be set: {error}") from error
    try:
        (gpu,) = in_use(nvml, [uuid])
        yield nvml, gpu
    except (MeterUnavailable, nvml.NVMLError) as error:
        raise UsageError(f"no power limit can be set: {error}") from error
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()
