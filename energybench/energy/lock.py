"""One measurement at a time per device: two of them would read each other's energy."""

import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from energybench.errors import UsageError

POLL_S = 1.0
CPU = "cpu"
"""The resource that all CPU packages and their memory are: meters read them together."""


def resources(domains: Iterable[str], trains_on_cpu: bool) -> list[str]:
    """What a measurement that reads `domains` must have for itself.

    Each GPU is one; the CPUs and all else that the whole machine shares are another, also for
    training on the CPU whose energy nobody reads.
    """
    names = {domain if domain.startswith("gpu:") else CPU for domain in domains}
    return sorted(names | ({CPU} if trains_on_cpu else set()))


@contextmanager
def exclusive_use(
    names: Collection[str], wait: bool, say: Callable[[str], None], folder: Path | None = None
) -> Iterator[None]:
    """Hold the resources called `names` for one measurement, across processes and users.

    While another process holds one of them: with `wait`, `say` is told so once, in one line, and
    this process sleeps until it is free; without, `UsageError` is raised. The kernel lets go of the
    locks when their holder dies. `folder` has the lock files; by default it is the same for all
    users of the machine, whatever temporary folder a job is given, or `ENERGYBENCH_LOCKS`. Raises
    `UsageError` if a lock file cannot be used.
    """
    folder = folder or _shared_folder()
    with ExitStack() as held:
        for name in sorted(names):  # one order for all, so that no two wait for each other
            held.enter_context(_one(name, folder / f"{name.replace(':', '-')}.lock", wait, say))
        yield


@contextmanager
def _one(name: str, path: Path, wait: bool, say: Callable[[str], None]) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path, mode=0o666, thread_local=False)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = f"another measurement runs on this machine's {name} ({_holder(path)})"
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
    given = os.environ.get("ENERGYBENCH_LOCKS")
    parent = "/tmp" if os.name == "posix" else tempfile.gettempdir()
    folder = Path(given) if given else Path(parent) / "energybench"
    try:
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o777)
    except OSError as error:
        raise UsageError(
            f"cannot make {folder} for lock files: {error.strerror}; name another folder in "
            "ENERGYBENCH_LOCKS"
        ) from error
    return folder


def _pid_path(path: Path) -> Path:
    return path.with_suffix(".pid")  # opening a lock file may empty it


def _sign(path: Path) -> None:
    """Leave this process's id for those who find the resource in use."""
    with suppress(OSError):
        _pid_path(path).unlink(missing_ok=True)  # may belong to another user
        _pid_path(path).write_text(str(os.getpid()))


def _holder(path: Path) -> str:
    try:
        return f"process {int(_pid_path(path).read_text())}"
    except (OSError, ValueError):
        return "process unknown"
