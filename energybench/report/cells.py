"""What makes two cells comparable, and records lined up by it."""

from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from energybench.errors import UsageError
from energybench.records.record import RunRecord
from energybench.registry import METHODS

DEVICE_FACTS = ("device", "device_name", "threads")
"""Of the protocol, what belongs to the machine: it may differ between runs."""

Setting = tuple[tuple[str, Any], ...]
"""Data, weights and protocol as sorted (name, value): equal for comparable cells."""


class RowKey(NamedTuple):
    """The cells that differ by their seed only."""

    model: str
    method: str
    setting: Setting

    def __str__(self) -> str:
        return f"{self.model} {self.method}"


Row = dict[int, RunRecord]
"""Finished records by seed."""


def setting(record: RunRecord, across: Collection[str] = ()) -> Setting:
    """What `record` was measured under, except the machine and the names in `across`.

    Raises `UsageError` for values that cannot be compared.
    """
    items = (
        ("data", record.dataset.get("name")),
        ("fingerprint", record.dataset.get("fingerprint")),
        ("image_size", record.dataset.get("image_size")),
        ("served", record.dataset.get("served")),
        ("weights", str(record.weights.get("source", ""))),
        *record.protocol.items(),
    )
    try:
        return _setting(items, frozenset(across))
    except TypeError as error:  # a list, where only a damaged file has one
        raise UsageError(f"{record.model} {record.method}: its protocol is not readable") from error


@cache
def _setting(items: Setting, across: frozenset[str]) -> Setting:
    """One object for all cells that share it: they are many."""
    values = dict(items)
    if Path(values["weights"]).is_absolute():
        values["weights"] = Path(values["weights"]).name
    left_out = across.union(DEVICE_FACTS)
    return tuple(sorted((name, value) for name, value in values.items() if name not in left_out))


def rows(records: Iterable[RunRecord], across: Collection[str] = ()) -> dict[RowKey, Row]:
    """Finished records by model, method and setting; of one cell measured twice the last."""
    found: dict[RowKey, Row] = {}
    for record in records:
        if record.status == "ok":
            key = RowKey(record.model, record.method, setting(record, across))
            found.setdefault(key, {})[record.seed] = record
    return found


def in_order(keys: Iterable[RowKey]) -> list[RowKey]:
    """Models as they came, each with its methods in the registry's order, compositions last."""
    keys = list(keys)
    models = list(dict.fromkeys(key.model for key in keys))
    ranks = {method: method_rank(method) for method in {key.method for key in keys}}
    return sorted(keys, key=lambda key: (models.index(key.model), ranks[key.method]))


def method_rank(method: str) -> tuple[int, list[int], str]:
    """Sorts methods: single ones in the registry's order, then compositions."""
    known = METHODS.builtin_names()
    parts = method.split("+")
    return len(parts), [known.index(part) for part in parts if part in known], method


def labels(keys: Iterable[RowKey]) -> dict[RowKey, str]:
    """What tells each row from the others of its model and method: "tolerance=2"; "" if alone.

    Names and values of a setting are as in the record's protocol.
    """
    together: dict[tuple[str, str], list[RowKey]] = {}
    for key in keys:
        together.setdefault((key.model, key.method), []).append(key)
    found = {}
    for group in together.values():
        sets = [set(map(_hashable, key.setting)) for key in group]
        shared = set.intersection(*sets)
        for key in group:
            own = [item for item in map(_hashable, key.setting) if item not in shared]
            found[key] = ", ".join(f"{name}={value}" for name, value in own)
    return found


def differences(first: Setting, second: Setting) -> dict[str, tuple[Any, Any]]:
    """Name -> its two values, where they differ."""
    ours, theirs = dict(first), dict(second)
    names = dict.fromkeys((*ours, *theirs))
    return {
        name: (ours.get(name), theirs.get(name))
        for name in names
        if ours.get(name) != theirs.get(name)
    }


def _hashable(item: tuple[str, Any]) -> tuple[str, str]:
    return item[0], str(item[1])
