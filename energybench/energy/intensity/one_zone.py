"""The one zone of a file that may have several."""

from collections.abc import Collection

from energybench.errors import UsageError, printable

_NAMED = 8
"""The most zones that a message names."""


def one_zone(found: Collection[str], asked: str | None, name: str) -> str:
    """The zone to use of those `found` in the file `name`; `asked` is what the user named.

    Raises `UsageError` for a zone that is not there, and for several where none is named.
    """
    zones = sorted(set(found))
    listed = printable(", ".join(zones[:_NAMED])) + (", ..." if len(zones) > _NAMED else "")
    if asked is not None:
        if asked not in zones:
            raise UsageError(f"{name} has no zone {asked!r}; it has {listed or 'none'}")
        return asked
    if len(zones) != 1:
        told = f"several zones ({listed})" if zones else "no zone"
        raise UsageError(f"{name} has {told}; name one with intensity-zone")
    return zones[0]
