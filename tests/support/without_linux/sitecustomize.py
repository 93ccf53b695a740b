"""Takes away what only Linux has, from every Python process that has this folder in PYTHONPATH.

The functions go for everyone, as on macOS. Files below /proc and /sys are hidden from energybench
alone: on Linux, psutil and PyTorch are built to read them. `TESTS_START_METHOD` names the start
method of `multiprocessing`, which is `spawn` on macOS and `forkserver` on newer Pythons.
"""

import ctypes
import errno
import os
import sys
from typing import Any

FUNCTIONS = (
    "sched_getaffinity",
    "sched_setaffinity",
    "fdatasync",
    "posix_fadvise",
    "posix_fallocate",
    "copy_file_range",
    "memfd_create",
    "pidfd_open",
    "eventfd",
    "splice",
    "getrandom",
    "setns",
    "unshare",
    "pipe2",
)
"""Members of the module `os`."""
C_FUNCTIONS = ("prctl", "malloc_trim")
HIDDEN = ("/proc", "/sys")
_EVENTS = ("open", "os.listdir", "os.scandir")

for _name in FUNCTIONS:
    if hasattr(os, _name):
        delattr(os, _name)


def _is_hidden(path: object) -> bool:
    """Whether `path` is one of Linux' own, and the first caller outside Python's is energybench."""
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str) or not f"{path}/".startswith(tuple(f"{one}/" for one in HIDDEN)):
        return False
    frame = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module not in sys.stdlib_module_names and module != __name__:
            return module == "energybench"
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _absent(path: Any) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS and _is_hidden(arguments[0]):
        raise _absent(arguments[0])


def _stat(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
    if _is_hidden(path):
        raise _absent(path)
    return _real_stat(path, *arguments, **named)


def _function(library: ctypes.CDLL, name: str) -> Any:
    if name in C_FUNCTIONS:
        raise AttributeError(f"no function {name}")
    return _real_function(library, name)


_real_stat, os.stat = os.stat, _stat
_real_function = ctypes.CDLL.__getattr__
ctypes.CDLL.__getattr__ = _function  # type: ignore[method-assign]
sys.addaudithook(_hook)

if "TESTS_START_METHOD" in os.environ:
    import multiprocessing

    multiprocessing.set_start_method(os.environ["TESTS_START_METHOD"], force=True)
