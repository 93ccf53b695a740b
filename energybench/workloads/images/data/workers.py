"""Worker processes that end with the process that started them, whatever that dies of."""

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial

_PR_SET_PDEATHSIG = 1
"""Of Linux' prctl: the signal that a process gets when its parent dies."""


def ending_with_this_process() -> Callable[[int], None]:
    """What a `DataLoader` takes as `worker_init_fn`.

    PyTorch's workers look every five seconds whether they have another parent than at first. One
    whose parent was killed while it started would never see that.
    """
    return partial(_end_with, os.getpid())


def _end_with(parent: int, worker: int) -> None:
    with suppress(AttributeError, OSError):  # elsewhere PyTorch's own look has to do
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
