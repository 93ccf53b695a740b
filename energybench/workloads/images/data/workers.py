"""Data workers that end with the process that started them, even if it is killed."""

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial

_PR_SET_PDEATHSIG = 1
"""Option of Linux' prctl: sets the signal that a process gets when its parent dies."""


def ending_with_this_process() -> Callable[[int], None]:
    """Return a `worker_init_fn` for a `DataLoader` of this process.

    PyTorch's own workers check every five seconds whether their parent has changed. A worker whose
    parent was killed while the worker started would never notice.
    """
    return partial(_end_with, os.getpid())


def _end_with(parent: int, worker: int) -> None:
    with suppress(AttributeError, OSError):  # not Linux: PyTorch's own check must do
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
