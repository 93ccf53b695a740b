"""The memory of this process on the host, and what it can still take."""

import ctypes
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_PROCESS = Path("/proc/self")


def available_bytes() -> int:
    """Return the bytes that this process can still take, in the machine and its control group."""
    free = [psutil.virtual_memory().available]
    with suppress(OSError, ValueError):  # no control group, or no limit ("max")
        limit = int((_CGROUP / "memory.max").read_text())
        free.append(limit - int((_CGROUP / "memory.current").read_text()))
    return min(free)


def resident_bytes() -> int:
    """Return the present resident size of this process, in bytes."""
    return int(psutil.Process().memory_info().rss)


def give_back() -> None:
    """Return the allocator's freed memory to the system, so that a batch shows in the peak."""
    with suppress(AttributeError, TypeError):  # the C library is not glibc
        ctypes.CDLL(None).malloc_trim(0)


def forget_peak() -> None:
    """Let `peak_bytes` begin again."""
    give_back()
    with suppress(OSError):  # not Linux
        (_PROCESS / "clear_refs").write_text("5")


def peak_bytes() -> int:
    """Return the largest resident size since `forget_peak`, in bytes.

    Systems other than Linux tell the largest since the process started, which is no less.
    """
    try:
        lines = (_PROCESS / "status").read_text().splitlines()
    except OSError:
        return _largest_ever()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024


def _largest_ever() -> int:
    try:
        import resource
    except ImportError:  # Windows
        usage: Any = psutil.Process().memory_info()
        return int(usage.peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
