"""Sentences on the cells of several runs that cannot be compared."""

from collections.abc import Iterable, Mapping, Sequence

from energybench.records.record import RunRecord
from energybench.report.rows import Row, RowKey, differences

_NAMED = 4
"""Largest number of cells named in one line; the rest are counted."""

CellId = tuple[str, str, int]
"""Model, method, seed."""


def mismatches(
    runs: Mapping[str, Sequence[RunRecord]],
    found: Mapping[str, Mapping[RowKey, Row]],
) -> list[str]:
    """Return lines on the cells of `runs` that cannot be compared with the first run's, and why."""
    first, *others = runs
    lines = [*_failures(runs), *_duplicates(runs, found)]
    ours = _by_cell(found[first])
    for other in others:
        theirs = _by_cell(found[other])
        lines += _unlike(first, ours, other, theirs)
        lines += _alone(first, ours.keys() - theirs.keys())
        lines += _alone(other, theirs.keys() - ours.keys())
        lines += _other_weights(first, ours, other, theirs)
    return list(dict.fromkeys(lines))


def _by_cell(found: Mapping[RowKey, Row]) -> dict[CellId, dict[RowKey, RunRecord]]:
    cells: dict[CellId, dict[RowKey, RunRecord]] = {}
    for key, row in found.items():
        for seed, record in row.items():
            cells.setdefault((key.model, key.method, seed), {})[key] = record
    return cells


def _failures(runs: Mapping[str, Sequence[RunRecord]]) -> list[str]:
    return [
        f"failed in {run}: {record.model} {record.method} seed {record.seed}: {record.error}"
        for run, records in runs.items()
        for record in records
        if record.status != "ok"
    ]


def _duplicates(
    runs: Mapping[str, Sequence[RunRecord]], found: Mapping[str, Mapping[RowKey, Row]]
) -> list[str]:
    lines = []
    for run, records in runs.items():
        kept = {id(record) for row in found[run].values() for record in row.values()}
        twice = [
            (record.model, record.method, record.seed)
            for record in records
            if record.status == "ok" and id(record) not in kept
        ]
        if twice:
            cells = list(dict.fromkeys(twice))
            lines.append(f"measured more than once in {run}, the last counts: {_names(cells)}")
    return lines


def _unlike(
    first: str,
    ours: Mapping[CellId, Mapping[RowKey, RunRecord]],
    other: str,
    theirs: Mapping[CellId, Mapping[RowKey, RunRecord]],
) -> list[str]:
    """Return lines on cells that both runs have under other settings: one line per difference."""
    reasons: dict[str, list[CellId]] = {}
    for cell, records in ours.items():
        unmatched = theirs.get(cell, {}).keys() - records.keys()
        for key in unmatched:
            unlike = min((differences(mine.setting, key.setting) for mine in records), key=len)
            text = ", ".join(f"{name} {a} / {b}" for name, (a, b) in unlike.items())
            reasons.setdefault(text, []).append(cell)
    return [
        f"not compared, {first} / {other} differ in {reason}: {_names(cells)}"
        for reason, cells in reasons.items()
    ]


def _alone(run: str, cells: Iterable[CellId]) -> list[str]:
    cells = sorted(cells)
    return [f"only in {run}: {_names(cells)}"] if cells else []


def _other_weights(
    first: str,
    ours: Mapping[CellId, Mapping[RowKey, RunRecord]],
    other: str,
    theirs: Mapping[CellId, Mapping[RowKey, RunRecord]],
) -> list[str]:
    """Return a line on models that were pretrained twice: their weights are alike, not equal."""
    models = sorted(
        {
            cell[0]
            for cell, records in ours.items()
            for key, record in records.items()
            if key in theirs.get(cell, {}) and record.weights.key != theirs[cell][key].weights.key
        }
    )
    if not models:
        return []
    return [f"{first} and {other} started from separately pretrained weights: {', '.join(models)}"]


def _names(cells: Sequence[CellId]) -> str:
    named = ", ".join(f"{model} {method} seed {seed}" for model, method, seed in cells[:_NAMED])
    rest = len(cells) - _NAMED
    return f"{named} and {rest} more" if rest > 0 else named
