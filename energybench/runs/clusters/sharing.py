"""Whether the nodes of a cluster can see the folder of a run, as far as one machine knows."""

import socket
from collections.abc import Iterable
from pathlib import Path

from energybench.energy.lock_folder import NETWORKED, mount_of
from energybench.errors import UsageError

IN_MEMORY = ("tmpfs", "ramfs")
"""Types of file systems that no other machine has."""


def check_shared(folder: Path, hosts: Iterable[str]) -> str | None:
    """Return a note where `folder` may be of this machine alone; None where nothing speaks for it.

    `hosts` are the names of the machines that will run jobs. Another machine may well see a disk of
    this one: a head node often exports its own. Raises `UsageError` where the folder is in memory.
    """
    own = _short(socket.gethostname())
    other = sorted({_short(host) for host in hosts} - {own})
    mount = mount_of(folder)
    if not other or mount is None or mount.kind in NETWORKED:
        return None
    if mount.kind in IN_MEMORY:
        raise UsageError(
            f"{folder} is in the memory of this machine ({mount.kind}), where {other[0]} cannot "
            "see it; name a folder that all machines share with --run"
        )
    return (
        f"note: {folder} is on a disk of this machine ({mount.kind}); its jobs end at once on "
        "nodes that do not see it, and `energybench status` names them"
    )


def _short(host: str) -> str:
    return host.partition(".")[0]
