"""The user's cache folder, and files in it that are either whole or not there."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

from energybench.errors import UsageError


def cache_folder(*parts: str) -> Path:
    """A folder in the cache, created if need be. `ENERGYBENCH_CACHE` moves the cache."""
    root = os.environ.get("ENERGYBENCH_CACHE") or platformdirs.user_cache_dir("energybench")
    folder = expanded(root).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot create the cache folder {folder} ({error.strerror}); "
            "set ENERGYBENCH_CACHE to a folder you can write to"
        ) from error
    return folder


def expanded(path: str) -> Path:
    """Return `path` with `~` as the user's home; without a home the path as it is."""
    return Path(os.path.expanduser(path))


def publish(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path` in one step.

    The contents are on the disk before the name is. Raises `UsageError` where that fails.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write {path} ({error.strerror or error}); free some space there or set "
            "ENERGYBENCH_CACHE to another folder"
        ) from error
