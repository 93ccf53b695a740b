"""Records lined up in rows of comparable cells."""

import json
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from energybench.records.metric import ACCURACY
from energybench.records.record import RunRecord
from energybench.registry import METHODS, base_name

OF_THE_METHOD = ("tolerance", "budget")
"""Parts of a setting that a baseline does not depend on."""
DEVICE_FACTS = ("device", "device_name", "threads")
"""The parts of the protocol that belong to the machine and may differ between runs."""
_IMPLIED = ("classes", "skipped")
"""Details of the data that follow from the fingerprint."""

Setting = tuple[tuple[str, Any], ...]
"""Data, weights and protocol as sorted (name, value): equal for comparable cells."""


class RowKey(NamedTuple):
    """The key of cells that differ only in their seed."""

    model: str
    method: str
    setting: Setting

    def __str__(self) -> str:
        return f"{self.model} {self.method}"


Row = dict[int, RunRecord]
"""Finished records by seed."""


def setting(record: RunRecord, across: Collection[str] = ()) -> Setting:
    """Return data, weights and protocol of `record`, without the machine and the names in `across`.

    A metric other than accuracy is part of the setting, and so are the settings of a script.
    """
    data, metric = record.dataset, record.metric
    details = {"image_size": None, "served": None} | data.details
    items = (
        *((name, _plain(value)) for name, value in details.items() if name not in _IMPLIED),
        ("data", data.name),
        ("fingerprint", data.fingerprint),
        ("weights", record.weights.source),
        *(() if metric in (None, ACCURACY) else (("metric", str(metric)),)),
        *vars(record.protocol).items(),
        *_own_settings(record),
    )
    return _setting(items, frozenset(across))


def _own_settings(record: RunRecord) -> Setting:
    """Return what a script says of its data and training; () of a cell."""
    if record.script is None:
        return ()
    return tuple((name, _plain(value)) for name, value in record.script.settings.items())


def _plain(value: Any) -> Any:
    """Return `value`, or the JSON of a container: hashable, and the same in memory and on disk."""
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, sort_keys=True, default=str)
    return value


@cache
def _setting(items: Setting, across: frozenset[str]) -> Setting:
    """Return `setting` of `items`; cells with an equal setting share one object."""
    values = dict(items)
    weights = values["weights"]
    if isinstance(weights, str) and Path(weights).is_absolute():
        values["weights"] = Path(weights).name
    left_out = across.union(DEVICE_FACTS)
    return tuple(sorted((name, value) for name, value in values.items() if name not in left_out))


def rows(records: Iterable[RunRecord], across: Collection[str] = ()) -> dict[RowKey, Row]:
    """Group finished records by model, method and setting; of a repeated cell the last counts."""
    found: dict[RowKey, Row] = {}
    for record in records:
        if record.status == "ok":
            key = RowKey(record.model, record.method, setting(record, across))
            found.setdefault(key, {})[record.seed] = record
    return found


def in_order(keys: Iterable[RowKey]) -> list[RowKey]:
    """Sort `keys` by model as given, then by method in registry order, compositions last."""
    keys = list(keys)
    models = list(dict.fromkeys(key.model for key in keys))
    ranks = {method: method_rank(method) for method in {key.method for key in keys}}
    return sorted(keys, key=lambda key: (models.index(key.model), ranks[key.method]))


def method_rank(method: str) -> tuple[int, list[int], str]:
    """Return a sorting key: single methods in the registry's order, then compositions."""
    known = METHODS.builtin_names()
    parts = [base_name(part) for part in method.split("+")]
    return len(parts), [known.index(part) for part in parts if part in known], method


def labels(keys: Iterable[RowKey]) -> dict[RowKey, str]:
    """Return row -> the settings that no other row of its model and method has: "tolerance=2".

    The only row of a model and method has "". Names and values are those of the
    record's protocol.
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
    """Return name -> (first value, second value) for every name whose values differ."""
    ours, theirs = dict(first), dict(second)
    names = dict.fromkeys((*ours, *theirs))
    return {
        name: (ours.get(name), theirs.get(name))
        for name in names
        if ours.get(name) != theirs.get(name)
    }


def _hashable(item: tuple[str, Any]) -> tuple[str, str]:
    return item[0], str(item[1])
