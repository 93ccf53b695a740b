"""A terminal that has gone, as when ssh loses its connection: nothing more is written to it."""

import errno
import os
from collections.abc import Sequence

_MOST = 256
"""Descriptors that are looked at; those of a terminal are opened first."""


def terminals() -> list[int]:
    """Return the descriptors of this process that lead to a terminal now."""
    return [descriptor for descriptor in range(_MOST) if os.isatty(descriptor)]


def leave(descriptors: Sequence[int]) -> None:
    """Let those `descriptors` whose terminal has gone lead to nowhere.

    Every write to them would fail, and end pytest before it has written its files.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        try:
            os.write(descriptor, b"")
        except OSError as error:
            if error.errno == errno.EIO:
                os.dup2(nowhere, descriptor)
    os.close(nowhere)
