"""A program of someone else's that keeps every processor busy."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SPIN = """
import os, sys, time
if os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
os.close(1)
end = time.monotonic() + 120.0
while time.monotonic() < end:
    pass
"""
"""Leaves its parent's process tree, says its id, and spins for at most two minutes."""


@contextmanager
def busy_neighbour(processes: int | None = None) -> Iterator[list[int]]:
    """Spin in `processes` that are not this process's children, one per processor by default.

    Yields their ids.
    """
    found: list[int] = []
    try:
        for _ in range(processes or os.cpu_count() or 1):
            done = subprocess.run(
                [sys.executable, "-c", SPIN], stdout=subprocess.PIPE, text=True, check=True
            )
            found.append(int(done.stdout))
        yield found
    finally:
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
