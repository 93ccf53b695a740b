"""Data workers that end with the process that started them, even if it is killed."""

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import parent_process
from threading import Thread

_PR_SET_PDEATHSIG = 1
"""Option of Linux' prctl: sets the signal that a process gets when its parent dies."""


def ending_with_this_process() -> Callable[[int], None]:
    """Return a `worker_init_fn` for a `DataLoader` of this process, for any start method.

    PyTorch's own workers check every five seconds whether their parent has changed. A worker whose
    parent was killed while the worker started would never notice.
    """
    return partial(_end_with, os.getpid())


def _end_with(starter: int, worker: int) -> None:
    """End this worker when process `starter` ends, or has ended.

    The start method `forkserver` makes its server the parent; there the worker waits for the pipe
    that `multiprocessing` keeps open in the starter.
    """
    with suppress(AttributeError, OSError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != starter:
        Thread(target=_end_after_starter, daemon=True).start()


def _end_after_starter() -> None:
    starter = parent_process()
    if starter is not None:
        starter.join()
    os._exit(1)
