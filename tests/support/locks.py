"""Another process that measures, as the lock of a resource sees it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from energybench.energy.lock import exclusive_use

with exclusive_use([sys.argv[1]], wait=False, say=print, folder=Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(resource: str, folder: Path) -> subprocess.Popen[str]:
    """A process that holds the lock of `resource` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, resource, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Kill it, and close its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


@contextmanager
def holding(resource: str, folder: Path) -> Iterator[int]:
    """The id of a process that holds the lock of `resource` during the block."""
    process = start_holder(resource, folder)
    try:
        yield process.pid
    finally:
        end(process)
