"""The table of what each phase of a script took."""

from energybench.energy.readings import EnergyReading
from energybench.energy.units import format_kwh, format_seconds, kwh
from energybench.records.record import RunRecord
from energybench.report.sections import Section
from energybench.report.tables.matrix_rows import Table
from energybench.report.text import number, percent

_CAPTION = (
    "Each phase as the script names it, summed over its visits; train/batch lies within train. "
    "Phases need not add up to the run."
)


def phase_table(section: Section) -> Table:
    """Return a table with one row per phase of each script; it may be empty."""
    rows = [
        row
        for record in section.finished
        if record.script is not None and len(record.phases) > 1
        for row in _rows(record)
    ]
    headers = ("model", "method", "seed", "phase", "energy", "share", "time", "watts", "note")
    return Table(headers, tuple(rows), frozenset({2, 4, 5, 6, 7}), _CAPTION if rows else "")


def _rows(record: RunRecord) -> list[tuple[str, ...]]:
    whole = record.main
    return [
        (
            record.model,
            record.method,
            str(record.seed),
            name,
            format_kwh(None if one.it_joules is None else kwh(one.it_joules, record.pue)),
            percent(_share(one, whole)),
            format_seconds(one.duration_s),
            number(one.watts),
            ", ".join(one.flags),
        )
        for name, one in record.phases.items()
    ]


def _share(one: EnergyReading, whole: EnergyReading | None) -> float | None:
    """Return the share of the run's energy, 0..1; None where either is not known."""
    if whole is None or one.it_joules is None or not whole.it_joules:
        return None
    return one.it_joules / whole.it_joules
