"""A comparison as plain dicts and lists."""

from typing import Any

from energybench.records.metric import ACCURACY
from energybench.report.comparison import Column, Comparison
from energybench.report.stats import Estimate


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return every number of the table in its unit, and the notes, as plain dicts and lists."""
    return {
        "runs": list(comparison.runs),
        "rows": [
            {
                "model": row.key.model,
                "method": row.key.method,
                "setting": dict(row.key.setting),
                "runs": {run: _column_json(column) for run, column in row.columns.items()},
            }
            for row in comparison.rows
        ],
        "notes": list(comparison.notes),
    }


def _column_json(column: Column) -> dict[str, Any]:
    saving, metric = column.saving, column.metric
    means = dict(column.means)
    value, drop = means.pop("value"), means.pop("drop")
    return {
        "seeds": [record.seed for record in column.records],
        **means,
        **({"accuracy": value, "drop_pp": drop} if metric in (None, ACCURACY) else {}),
        "metric": metric.name if metric else None,
        "value": value,
        "drop": drop,
        "drop_unit": metric.unit if metric else None,
        "ratio": _estimate_json(column.ratio),
        "ratio_to_baseline": _estimate_json(saving.energy if saving else None),
        "ratio_to_baseline_with_search": _estimate_json(saving.with_search if saving else None),
        "effect": saving.effect if saving else None,
        "flags": list(saving.flags) if saving else [],
        "energy_source": sorted({record.energy_source for record in column.records}),
    }


def _estimate_json(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "pairs": estimate.pairs,
    }
