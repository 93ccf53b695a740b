"""The state of a GPU from NVML: clocks, temperature, throttling, other processes."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from energybench.energy.machine import nvml_fact
from energybench.energy.readings import DeviceState

REASONS = {
    "power_cap": "nvmlClocksEventReasonSwPowerCap",
    "thermal": "nvmlClocksEventReasonSwThermalSlowdown",
    "hw_thermal": "nvmlClocksEventReasonHwThermalSlowdown",
    "power_brake": "nvmlClocksEventReasonHwPowerBrakeSlowdown",
    "hw_slowdown": "nvmlClocksEventReasonHwSlowdown",
}
"""Our word -> NVML's clock event reason, for reasons that mean a lack of power or of cooling."""

_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""Inode of the pid namespace outside containers (PROC_PID_INIT_INO of Linux)."""


def device_state(nvml: Any, handle: Any, processes: Collection[int] = ()) -> DeviceState:
    """The present state of the GPU behind `handle`; about 0.1 ms per fact. `processes` are ours."""
    bits = nvml_fact(nvml, nvml.nvmlDeviceGetCurrentClocksEventReasons, handle) or 0
    return DeviceState(
        temperature_c=nvml_fact(
            nvml, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU
        ),
        sm_clock_mhz=nvml_fact(nvml, nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
        memory_clock_mhz=nvml_fact(nvml, nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
        throttle_reasons=tuple(
            word for word, name in REASONS.items() if bits & getattr(nvml, name)
        ),
        throttled_s=_throttled_s(nvml, handle),
        other_processes=_other_processes(nvml, handle, processes),
    )


def _throttled_s(nvml: Any, handle: Any) -> float | None:
    policies = nvml.NVML_PERF_POLICY_POWER, nvml.NVML_PERF_POLICY_THERMAL
    found = [nvml_fact(nvml, nvml.nvmlDeviceGetViolationStatus, handle, each) for each in policies]
    known = [status.violationTime / 1e9 for status in found if status is not None]
    return sum(known) if known else None


def _other_processes(nvml: Any, handle: Any, processes: Collection[int]) -> int | None:
    """Compute processes that are neither this one nor its descendants, nor in `processes`.

    Inside a container NVML may give the host's process ids: then one unknown process is this one.
    """
    running = nvml_fact(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, handle)
    if running is None:
        return None
    ours = _own_processes().union(processes)
    pids = {process.pid for process in running}
    others = pids - ours
    unseen = not pids & ours
    return len(others) - 1 if others and unseen and _in_container() else len(others)


def _own_processes() -> set[int]:
    import psutil

    own = psutil.Process()
    return {own.pid, *(child.pid for child in own.children(recursive=True))}


def _in_container() -> bool:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino != _FIRST_PID_NAMESPACE
    except OSError:
        return os.name == "posix"
