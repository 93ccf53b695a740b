"""One measurement at a time on a machine: two of them would read each other's energy."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from energybench.errors import UsageError

POLL_S = 1.0


@contextmanager
def exclusive_use(
    wait: bool, say: Callable[[str], None], path: Path | None = None
) -> Iterator[None]:
    """Hold the machine for one measurement, across processes and users.

    While another process holds it: with `wait`, `say` is told so once, in one line, and this
    process sleeps until it is free; without, `UsageError` is raised. The kernel lets go of the lock
    when its holder dies. `path` is the lock file, by default one in the machine's temporary folder.
    Raises `UsageError` if the lock file cannot be used.
    """
    from filelock import FileLock, Timeout

    path = path or _shared_folder() / "measuring.lock"
    lock = FileLock(path, mode=0o666, thread_local=False)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = f"another measurement runs on this machine ({_holder(path)})"
            if not wait:
                raise UsageError(
                    f"{holder}; let it end first, or wait for it without --energy-no-wait"
                ) from None
            say(f"{holder}; waiting until it ends")
            lock.acquire(poll_interval=POLL_S)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"cannot lock {path}: {reason}; check its permissions") from error
    try:
        _sign(path)
        yield
    finally:
        lock.release()


def _shared_folder() -> Path:
    """A folder that every user may write in.

    Not the temporary folder itself: in folders with the sticky bit the lock file of one user is
    closed to others (`fs.protected_regular`), whatever its mode.
    """
    folder = Path(tempfile.gettempdir()) / "energybench"
    try:
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o777)
    except OSError as error:
        raise UsageError(f"cannot make {folder} for the lock file: {error.strerror}") from error
    return folder


def _pid_path(path: Path) -> Path:
    return path.with_suffix(".pid")  # opening a lock file may empty it


def _sign(path: Path) -> None:
    """Leave this process's id for those who find the machine in use."""
    with suppress(OSError):
        _pid_path(path).unlink(missing_ok=True)  # may belong to another user
        _pid_path(path).write_text(str(os.getpid()))


def _holder(path: Path) -> str:
    try:
        return f"process {int(_pid_path(path).read_text())}"
    except (OSError, ValueError):
        return "process unknown"
