"""Electricity Maps' CSV of a zone by the hour: https://portal.electricitymaps.com/datasets.

Its columns since 2024 are `Datetime (UTC)`, `Country`, `Zone name`, `Zone id`, `Carbon intensity
gCO₂eq/kWh (direct)`, the same `(Life cycle)`, two percentages, `Data source`, `Data estimated`,
`Data estimation method`. Older files write `Carbon Intensity` and `(LCA)`, `Zone Id` and `Data
Estimated`. The life cycle counts, as CO2 equivalents do. A time is the start of its hour.
"""

from energybench.energy.intensity.hours import Hour, step_of
from energybench.energy.intensity.one_zone import one_zone
from energybench.energy.intensity.rows import Row, Table

PUBLISHER = "Electricity Maps, life cycle"
_TIME = "datetime (utc)"
_ZONE = "zone id"
_LIFE_CYCLE = ("carbon intensity gco₂eq/kwh (life cycle)", "carbon intensity gco₂eq/kwh (lca)")
_ESTIMATED = "data estimated"


def matches(table: Table) -> bool:
    """Whether the head is of such a file."""
    names = _by_plain(table)
    return {_TIME, _ZONE} <= names.keys() and any(one in names for one in _LIFE_CYCLE)


def read(table: Table, zone: str | None) -> tuple[str, list[Hour]]:
    """The zone, and its hours; an hour without an intensity is left out.

    Raises `UsageError` for a cell that is no number or no time, several zones without a choice, and
    rows of days or months.
    """
    names = _by_plain(table)
    intensity = next(names[one] for one in _LIFE_CYCLE if one in names)
    rows = [row for row in table.rows() if row.number(intensity) is not None]
    chosen = one_zone({row.text(names[_ZONE]) for row in rows}, zone, table.name)
    rows = [row for row in rows if row.text(names[_ZONE]) == chosen]
    starts = [row.utc(names[_TIME]) for row in rows]
    step = step_of(starts, table.name)
    estimated = names.get(_ESTIMATED, "")
    hours = [
        Hour(start, start + step, row.number(intensity) or 0.0, row.line, _is_true(row, estimated))
        for start, row in zip(starts, rows, strict=True)
    ]
    return chosen, hours


def _is_true(row: Row, column: str) -> bool:
    return row.text(column).lower() == "true"


def _by_plain(table: Table) -> dict[str, str]:
    """Lower-case name -> column, since the publisher has changed capitals."""
    return {column.lower(): column for column in table.columns}
