"""What benchmark-action/github-action-benchmark reads as its tool `customSmallerIsBetter`.

Its README and `src/extract.ts` have the format: a list of objects with `name`, `value` and `unit`,
and perhaps the texts `range` and `extra`. perun writes the same (`perun/io/bench.py`).
"""

import json
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from energybench.errors import UsageError
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.comparison import finetune_s
from energybench.report.rows import in_order, labels, rows
from energybench.report.stats import Estimate, means

WH_PER_KWH = 1000.0
_IN_CODE = str.maketrans("`|", "'/")
"""The action writes names and units into code within a table of Markdown, as they are."""


def write(runs: Sequence[Run]) -> str:
    """Return one run as JSON: per row its energy, duration, epochs and error, means over its seeds.

    Energies are in Wh; their names have their source, so that the chart of a measurement never
    goes on with estimates. The error of a share, such as accuracy, is 100 % less the share; a
    metric that is better when higher, and no share, has no entry. `range` is half of the 95 %
    interval of the mean, with five or more seeds. Raises `UsageError` for several runs, and for one
    without a finished cell.
    """
    if len(runs) != 1:
        raise UsageError(f"action-benchmark holds one run, not {len(runs)}; name one file")
    table = rows(runs[0].records)
    if not table:
        raise UsageError(f"{runs[0].path} has no finished cell to export")
    names = labels(table)
    entries = []
    for key in in_order(table):
        cells = list(table[key].values())
        name = f"{key}{f' ({names[key]})' if names[key] else ''}"
        entries += _entries(name, cells)
    return json.dumps(entries, indent=1) + "\n"


def _entries(name: str, cells: Sequence[RunRecord]) -> list[dict[str, Any]]:
    sources = "+".join(sorted({record.energy_source for record in cells}))
    quantities: list[tuple[str, str, list[float | None]]] = [
        (f"energy by {sources}", "Wh", [_wh(record) for record in cells]),
        ("duration", "s", [finetune_s(record) for record in cells]),
        ("epochs", "epochs", [float(len(record.epochs)) for record in cells]),
        _error(cells),
    ]
    extra = _extra(cells)
    return [
        _entry(f"{name}: {what}", unit, [value for value in values if value is not None], extra)
        for what, unit, values in quantities
        if values and None not in values
    ]


def _entry(name: str, unit: str, values: Sequence[float], extra: str) -> dict[str, Any]:
    (mean,) = means([values])
    half = _half(mean)
    name, unit = name.translate(_IN_CODE), unit.translate(_IN_CODE)
    found = {"name": name, "unit": unit, "value": mean.value, "extra": extra}
    return found if half is None else found | {"range": f"± {half:.3g}"}


def _half(mean: Estimate) -> float | None:
    return None if mean.low is None else mean.value - mean.low


def _wh(record: RunRecord) -> float | None:
    return None if record.kwh is None else WH_PER_KWH * record.kwh


def _error(cells: Sequence[RunRecord]) -> tuple[str, str, list[float | None]]:
    """Return the metric as an error: its name, unit and values; no values where it has none."""
    metric = cells[0].metric
    values = [record.value for record in cells]
    if metric is None or (metric.higher_is_better and not metric.is_share):
        return "", "", []
    if metric.higher_is_better:
        errors = [None if value is None else metric.scale * (1.0 - value) for value in values]
        return f"100 % less {metric.name}", "%", errors
    scaled = [None if value is None else metric.scale * value for value in values]
    return metric.name, metric.unit or "1", scaled


def _extra(cells: Sequence[RunRecord]) -> str:
    """Return the lines below a point of the chart: seeds, drop, machine, kind of energy."""
    drops = [record.drop for record in cells if record.drop is not None]
    metric = cells[0].metric
    lines = [f"seeds: {len(cells)}"]
    if metric is not None and len(drops) == len(cells):
        lines.append(f"drop: {metric.show_drop(fmean(drops))}")
    lines.append(f"machine: {cells[0].protocol.device_name or cells[0].machine.get('cpu')}")
    if any(record.estimated for record in cells):
        lines.append("energy is an estimate, not a measurement")
    return "\n".join(lines)
