"""Lines that say why energy is missing."""

from collections.abc import Iterable, Mapping

from energybench.energy.readings import EnergyReading
from energybench.records.record import RunRecord
from energybench.report.likeness import boards

_NAMED = 3
"""The most benchmarks that one line names."""


def missing_energy(readings: Mapping[str, EnergyReading]) -> list[str]:
    """Return one line for each reason why readings have no energy; `readings` go by name."""
    named: dict[str, list[str]] = {}
    for name, reading in readings.items():
        if reading.why_missing is not None:
            named.setdefault(reading.why_missing, []).append(name)
    return [f"no energy of {_all(names)}: {reason}" for reason, names in named.items()]


def cells_without_energy(records: Iterable[RunRecord]) -> list[str]:
    """Return the same lines for cells, and one on those that have no saving.

    A cell that failed before its training has no line.
    """
    trained = [one for one in records if one.status == "ok" and "finetune" in one.phases]
    readings = {_name(one): one.phases["finetune"] for one in trained}
    return [*missing_energy(readings), *_other_boards(trained)]


def _other_boards(records: Iterable[RunRecord]) -> list[str]:
    """Return a line on the cells whose GPU is another one than their baseline's.

    A block of a cluster goes on elsewhere when its node has died.
    """
    records = list(records)
    known = {record.id: record for record in records}
    others = [
        _name(record)
        for record in records
        if record.reference_id in known
        and record.id is not None
        and boards(record) != boards(known[record.reference_id])
    ]
    return [f"no saving of {_all(others)}: the baseline ran on another GPU"] if others else []


def _name(record: RunRecord) -> str:
    return f"{record.model} {record.method} seed {record.seed}"


def _all(names: list[str]) -> str:
    further = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {further} more" if further > 0 else "")
