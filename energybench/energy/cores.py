"""The processors that this process may use, by affinity and by the quotas of its control groups."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
"""Control groups of Linux: one hierarchy, or in version 1 one folder for each controller."""
OWN_GROUPS = Path("/proc/self/cgroup")
"""This process's group in each hierarchy, as `NUMBER:CONTROLLERS:PATH`."""


def usable_cores() -> int:
    """Return how many processors can work for this process at once, at least 1.

    A container that may use 1.5 of 64 processors has 2: more threads than that only wait for each
    other. Systems that tell less have all processors of the machine.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        allowed = os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas()]
    return max(1, min([allowed, *quotas]))


def _quotas() -> Iterator[float]:
    """Yield the processors that each group around this process allows, where it limits them."""
    for group in _groups():
        with suppress(OSError, ValueError, ZeroDivisionError):  # no such file, or no limit: "max"
            quota, period = (group / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError, ZeroDivisionError):
            limit = int((group / "cpu.cfs_quota_us").read_text())
            if limit > 0:  # -1 is no limit
                yield limit / int((group / "cpu.cfs_period_us").read_text())


def _groups() -> Iterator[Path]:
    """Yield the folders of this process's groups and of all groups around them.

    A container may see the path of its group on the host, which it has no folder for; its own group
    is then the root.
    """
    lines: list[str] = []
    with suppress(OSError, ValueError):
        lines = OWN_GROUPS.read_text().splitlines()
    for line in ["0::/", *lines]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CONTROL_GROUPS / controllers if controllers else CONTROL_GROUPS
        inner = root / path.strip("/")
        yield from (inner, *(folder for folder in inner.parents if folder.is_relative_to(root)))
