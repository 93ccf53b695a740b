"""One measurement at a time per device: two at once would read each other's energy.

A lock is a file that the kernel locks (`flock`), so the death of its holder frees it. The file also
has the holder's process id, as a note for those who wait. Users of one machine share the folder of
these files (see `lock_folder`): it has the sticky bit, so that nobody removes the file of another
user, and the files are opened as something that anyone may have put there.
"""

import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from energybench.energy.lock_folder import lock_folder
from energybench.errors import UsageError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

POLL_S = 1.0
"""Seconds between two looks at a lock that another process holds."""
CPU = "cpu"
"""The resource that all CPU packages and their memory are: meters read them together."""
_NOTE_BYTES = 32


class InUse(UsageError):
    """Another process holds a resource; the message ends so that a flag's name can follow it."""


def resources(domains: Iterable[str], trains_on_cpu: bool) -> list[str]:
    """The resources that a measurement of `domains` must have for itself, for example `gpu:1f2e`.

    Each GPU is one. The CPUs and all else that the whole machine shares are another, `cpu`.
    Training on the CPU needs it even if nobody reads its energy.
    """
    names = {domain if domain.startswith("gpu:") else CPU for domain in domains}
    return sorted(names | ({CPU} if trains_on_cpu else set()))


@contextmanager
def exclusive_use(
    names: Collection[str], wait: bool, say: Callable[[str], None], folder: Path | None = None
) -> Iterator[None]:
    """Hold the resources called `names` for one measurement, across processes and users.

    A process that already holds a resource enters at once: measurements may be nested. While
    another process holds one, this process sleeps until it is free if `wait` is true, after one
    line to `say`; it does not wait for a process that has started it. Without `wait`, `InUse` is
    raised. `folder` has the lock files. The default is the folder that `ENERGYBENCH_LOCKS` names,
    or one that is the same for all users and jobs of this machine. Raises `UsageError` for a folder
    or a lock file that cannot be used.
    """
    folder = folder or lock_folder()
    with ExitStack() as held:
        for name in sorted(names):  # in one order, so that no two processes wait for each other
            held.enter_context(_one(name, folder / f"{name.replace(':', '-')}.lock", wait, say))
        yield


@dataclass
class _Held:
    """A lock of this process, and how many blocks are inside it."""

    release: Callable[[], None]
    blocks: int = 1


_held: dict[Path, _Held] = {}
"""The locks of this process, by the real path of their files: `flock` itself does not nest."""
_guard = threading.Lock()


@contextmanager
def _one(name: str, path: Path, wait: bool, say: Callable[[str], None]) -> Iterator[None]:
    path = Path(os.path.realpath(path.parent)) / path.name
    announced = False
    while not _enter(path):
        holder = f"another measurement runs on this machine's {name} ({_holder(path)})"
        if not wait:
            raise InUse(f"{holder}; let it end first, or wait for it")
        if _is_held_above(path):  # it may be waiting for this process: both would wait for ever
            yield
            return
        if not announced:
            say(f"{holder}; waiting until it ends")
            announced = True
        time.sleep(POLL_S)
    try:
        yield
    finally:
        _leave(path)


def _enter(path: Path) -> bool:
    """Hold the lock once more, or for the first time; False while another process holds it."""
    with _guard:
        if path in _held:
            _held[path].blocks += 1
            return True
        try:
            release = _acquired(path) if fcntl else _acquired_without_fcntl(path)
        except OSError as error:
            if path.is_symlink():
                raise UsageError(_not_plain(path)) from error
            reason = error.strerror or error
            raise UsageError(
                f"cannot lock {path}: {reason}; check its permissions, or name another folder in "
                "ENERGYBENCH_LOCKS"
            ) from error
        if release is None:
            return False
        _held[path] = _Held(release)
        return True


def _is_held_above(path: Path) -> bool:
    """Whether a process that started this one, directly or not, has the lock's file open."""
    import psutil  # here: only who must wait needs it

    above: list[psutil.Process] = []
    with suppress(psutil.Error, OSError):
        above = psutil.Process().parents()
    for process in above:
        with suppress(psutil.Error, OSError):  # another user's process does not tell
            if any(one.path == str(path) for one in process.open_files()):
                return True
    return False


def _leave(path: Path) -> None:
    with _guard:
        held = _held[path]
        held.blocks -= 1
        if not held.blocks:
            del _held[path]
            held.release()


def _acquired(path: Path) -> Callable[[], None] | None:
    """Lock the file at `path` and sign it; how to release it, or None while it is locked."""
    while True:
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):  # nobody has replaced the file meanwhile
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
                return lambda: os.close(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(path: Path) -> int:
    """A descriptor of the lock file, which is made if there is none.

    An existing file is opened without O_CREAT: in a folder with the sticky bit the kernel refuses
    that for another user's file (`fs.protected_regular`). Links are not followed, and anything that
    is not a plain file is refused, so that nobody can direct the note elsewhere.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:  # another process was faster
            descriptor = os.open(path, flags)
        else:
            os.fchmod(descriptor, 0o666)  # whatever the umask: every user locks it
    if not _is_plain(os.fstat(descriptor)):
        os.close(descriptor)
        raise UsageError(_not_plain(path))
    return descriptor


def _is_plain(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink <= 1


def _not_plain(path: Path) -> str:
    return f"cannot lock {path}: it is not a plain file; remove it"


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _acquired_without_fcntl(path: Path) -> Callable[[], None] | None:
    """Acquire like `_acquired`, on systems without `flock`; no note is left."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock.release


def _holder(path: Path) -> str:
    """The process that the lock's note names."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            return f"process {int(os.read(descriptor, _NOTE_BYTES))}"
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return "process unknown"
