"""Great Britain's two CSV files by the half hour, both in UTC and in grams of CO2.

- Historic generation mix of the National Energy System Operator (formerly National Grid ESO),
  `df_fuel_ckan.csv`: https://www.neso.energy/data-portal/historic-generation-mix. Of its columns
  `DATETIME` and `CARBON_INTENSITY` are used.
- https://carbonintensity.org.uk: `Datetime (UTC)`, `Actual Carbon Intensity (gCO2/kWh)`, `Forecast
  Carbon Intensity (gCO2/kWh)`, `Index`. Only actual values count; a forecast is none.

A time is taken as the start of its half hour, as the API of the second calls it `from`. Both count
what power stations emit, not the life cycle.
"""

from energybench.energy.intensity.hours import Hour, step_of
from energybench.energy.intensity.one_zone import one_zone
from energybench.energy.intensity.rows import Table

PUBLISHER = "Great Britain's system operator, direct"
ZONE = "GB"
_HALF_HOUR_S = 1800.0
_COLUMNS = (
    ("DATETIME", "CARBON_INTENSITY"),
    ("Datetime (UTC)", "Actual Carbon Intensity (gCO2/kWh)"),
)


def matches(table: Table) -> bool:
    """Whether the head is of such a file."""
    return any(table.has(columns) for columns in _COLUMNS)


def read(table: Table, zone: str | None) -> tuple[str, list[Hour]]:
    """The zone "GB", and its half hours; one without an intensity is left out.

    Raises `UsageError` for a cell that is no number or no time, and for another zone.
    """
    chosen = one_zone([ZONE], zone, table.name)
    time, intensity = next(columns for columns in _COLUMNS if table.has(columns))
    rows = [row for row in table.rows() if row.number(intensity) is not None]
    starts = [row.utc(time) for row in rows]
    step = min(step_of(starts, table.name, _HALF_HOUR_S), _HALF_HOUR_S)
    hours = [
        Hour(start, start + step, row.number(intensity) or 0.0, row.line)
        for start, row in zip(starts, rows, strict=True)
    ]
    return chosen, hours
