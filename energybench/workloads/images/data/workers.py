"""Data workers that end with the process that started them, even if it is killed."""

import ctypes
import os
import signal
from collections.abc import Callable
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

    Linux tells a process of its parent's death. Elsewhere, and with the start method `forkserver`,
    which makes its server the parent, the worker waits for the pipe that `multiprocessing` keeps
    open in the starter.
    """
    if not _killed_with_parent() or os.getppid() != starter:
        Thread(target=_end_after_starter, daemon=True).start()


def _killed_with_parent() -> bool:
    try:
        prctl = ctypes.CDLL(None).prctl
        return bool(prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0)
    except (AttributeError, OSError, TypeError):  # not Linux
        return False


def _end_after_starter() -> None:
    starter = parent_process()
    if starter is not None:
        starter.join()
    os._exit(1)
