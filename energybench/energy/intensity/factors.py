"""Declared emission factors of ways to generate electricity, each with its source."""

from dataclasses import dataclass
from pathlib import Path

from energybench.energy.intensity.hours import MOST_G_PER_KWH
from energybench.energy.intensity.rows import Table
from energybench.errors import UsageError

TYPE, GRAMS, SOURCE = COLUMNS = ("production type", "g_per_kwh", "source")


@dataclass(frozen=True)
class Factors:
    """Grams of CO2 equivalent per kilowatt-hour, by type of production."""

    name: str
    g_per_kwh: dict[str, float]
    sources: tuple[str, ...]
    """The distinct sources, in the order of the file."""


def read_factors(path: Path) -> Factors:
    """The factors in a CSV file with the columns `production type`, `g_per_kwh` and `source`.

    Raises `UsageError` for another file, a factor that is none, and one without a source.
    """
    table = Table.read(path)
    if not table.has(COLUMNS):
        raise UsageError(f"{table.name} needs the columns {', '.join(COLUMNS)}; add them")
    grams: dict[str, float] = {}
    sources: dict[str, None] = {}
    for row in table.rows():
        kind, value, source = row.text(TYPE), row.number(GRAMS), row.text(SOURCE)
        if value is None or not 0 <= value <= MOST_G_PER_KWH:
            raise row.error(GRAMS, row.text(GRAMS), f"a number of 0 to {MOST_G_PER_KWH:,.0f}")
        if not source:
            raise row.error(SOURCE, source, "where the factor is from")
        if kind in grams:
            raise row.error(TYPE, kind, "a type that no other line has")
        grams[kind] = value
        sources[source] = None
    return Factors(table.name, grams, tuple(sources))
