"""The user's cache folder, and files in it that are either whole or not there."""

import logging
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from secrets import token_hex

import platformdirs

from energybench.errors import UsageError, legible

log = logging.getLogger(__name__)

_CACHE = "free some space there or set ENERGYBENCH_CACHE to another folder"


def cache_folder(*parts: str) -> Path:
    """A folder in the cache, created if need be. `ENERGYBENCH_CACHE` moves the cache.

    A user without a home that can be written to, as in many containers, has the cache among the
    temporary files; a warning says so. Raises `UsageError` where no folder can be created.
    """
    given = os.environ.get("ENERGYBENCH_CACHE")
    folder = (expanded(given) if given else _own_cache()).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_created(folder, error.strerror) from error
    return folder


def _own_cache() -> Path:
    """The user's cache folder, which exists, or a temporary one."""
    reason = "there is no home folder"
    with suppress(RuntimeError):  # no HOME, and a user id that the system does not know
        folder = Path(platformdirs.user_cache_dir("energybench"))
        if folder.is_absolute():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                return folder
            except OSError as error:
                reason = f"cannot create {folder} ({error.strerror})"
    return _temporary_cache(reason)


@cache
def _temporary_cache(reason: str) -> Path:
    """A folder of this user alone, whatever others have put into the place."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"energybench-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise _not_created(folder, error.strerror) from error
    if folder.is_symlink() or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
        raise _not_created(folder, "it is another user's")
    log.warning(
        "%s; the cache is in %s, until that is cleared; ENERGYBENCH_CACHE names another folder",
        legible(reason),
        legible(str(folder)),
    )
    return folder


def _not_created(folder: Path, reason: str | None) -> UsageError:
    return UsageError(
        f"cannot create the cache folder {folder} ({reason}); set ENERGYBENCH_CACHE to a folder "
        "you can write to"
    )


def expanded(path: str) -> Path:
    """Return `path` with `~` as the user's home; without a home the path as it is."""
    return Path(os.path.expanduser(path))


def publish(path: Path, write: Callable[[Path], object], advice: str = _CACHE) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path` in one step.

    The contents are on the disk before the name is. The temporary file has a name of no format. A
    file that is replaced leaves its permissions, and a link stays one. Raises `UsageError`, which
    ends in `advice`, where that fails; what was at `path` is then unchanged.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:60]}.{token_hex(4)}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        os.close(handle)
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror or error}); {advice}") from error
