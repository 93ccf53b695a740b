"""The user's cache folder, and files in it that are either whole or not there."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import platformdirs

from energybench.errors import UsageError


def cache_folder(*parts: str) -> Path:
    """A folder in the cache, created if need be. `ENERGYBENCH_CACHE` moves the cache."""
    root = os.environ.get("ENERGYBENCH_CACHE") or platformdirs.user_cache_dir("energybench")
    folder = Path(root).expanduser().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot create the cache folder {folder} ({error.strerror}); "
            "set ENERGYBENCH_CACHE to a folder you can write to"
        ) from error
    return folder


_CACHE = "free some space there or set ENERGYBENCH_CACHE to another folder"


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
