"""The folder of lock files, which all users and jobs of one machine must see, and only they.

`/tmp/energybench` is that folder on most machines. A cluster may give each job a `/tmp` of its own,
in which nobody else would see a lock: then `/run/lock/energybench` is. A folder on a network file
system would let the nodes of a cluster wait for each other.
"""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from energybench.errors import UsageError

EVERYONE = stat.S_ISVTX | 0o777
MOUNTS = "/proc/self/mountinfo"
"""Lists what is mounted where, on Linux."""
RUN_LOCK = Path("/run/lock")
"""Of the whole machine on Linux, and gone when it starts again."""
NETWORKED = (
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "beegfs",
    "cifs",
    "smb3",
    "ceph",
    "glusterfs",
    "panfs",
)
"""Types of file systems that several machines share."""
_ADVICE = "name another folder in ENERGYBENCH_LOCKS"


@dataclass(frozen=True)
class Mount:
    """One file system in the tree of this process."""

    point: str
    """Where it is mounted."""
    root: str
    """Which of its own folders is mounted there; "/" for all of it."""
    kind: str
    """Its type, such as `ext4`."""


def lock_folder() -> Path:
    """The folder of lock files, which exists: of `ENERGYBENCH_LOCKS`, or one for all users.

    It does not depend on TMPDIR, which Slurm gives each job of its own. Raises `UsageError` for a
    folder that cannot be used.
    """
    given = os.environ.get("ENERGYBENCH_LOCKS")
    folder = Path(given) if given else _own()
    try:
        with suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(EVERYONE)  # whatever the umask
        _check(folder, folder.stat() if given else folder.lstat())
    except OSError as error:
        raise UsageError(
            f"cannot make {folder} for lock files: {error.strerror}; {_ADVICE}"
        ) from error
    mount = mount_of(folder)
    if mount is not None and mount.kind in NETWORKED:
        raise UsageError(
            f"{folder} is on a network file system ({mount.kind}), where machines would wait for "
            f"each other; {_ADVICE}, on this machine's own disk"
        )
    return folder


def _own() -> Path:
    if os.name != "posix":
        return Path(tempfile.gettempdir()) / "energybench"
    if is_private(Path("/tmp")) and RUN_LOCK.is_dir():
        return RUN_LOCK / "energybench"
    return Path("/tmp/energybench")


def is_private(folder: Path) -> bool:
    """Whether `folder` is a part of another one, as a job's own `/tmp` is; False if not known."""
    mount = mount_of(folder)
    return mount is not None and Path(mount.point) == folder and mount.root != "/"


def mount_of(folder: Path) -> Mount | None:
    """The file system that holds `folder`; None where the system does not say."""
    place = Path(os.path.realpath(folder))
    found = [mount for mount in _mounts() if place.is_relative_to(mount.point)]
    return max(reversed(found), key=lambda mount: len(mount.point), default=None)


def _mounts() -> Iterator[Mount]:
    with suppress(OSError), open(MOUNTS, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            facts, _, source = line.partition(" - ")
            words = facts.split()
            if len(words) > 4 and source:
                yield Mount(_plain(words[4]), _plain(words[3]), source.split()[0])


def _plain(path: str) -> str:
    """A path without the kernel's escapes for blanks."""
    for escaped, blank in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(escaped, blank)
    return path


def _check(folder: Path, found: os.stat_result) -> None:
    """Raise `UsageError` unless locks in `folder` are safe from others than its owner."""
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{folder} is not a folder, so it cannot have lock files; {_ADVICE}")
    everyone_writes = os.name == "posix" and found.st_mode & stat.S_IWOTH
    if not everyone_writes or found.st_mode & stat.S_ISVTX:
        return
    if found.st_uid != os.getuid():
        raise UsageError(
            f"anyone may remove the locks in {folder}: it lacks the sticky bit; let its owner "
            f"chmod +t it, or {_ADVICE}"
        )
    folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_ISVTX)
