"""Lines that say why energy is missing."""

from collections.abc import Iterable, Mapping, Sequence

from energybench.energy.readings import EnergyReading
from energybench.records.calls import CallEnergy
from energybench.records.record import RunRecord

_NAMED = 3
"""The most benchmarks that one line names."""


def missing_energy(readings: Mapping[str, EnergyReading | CallEnergy]) -> list[str]:
    """Return one line for each reason why readings have no energy; `readings` go by name."""
    named: dict[str, list[str]] = {}
    for name, reading in readings.items():
        if reading.why_missing is not None:
            named.setdefault(reading.why_missing, []).append(name)
    return [f"no energy of {listed(names)}: {reason}" for reason, names in named.items()]


def cells_without_energy(records: Iterable[RunRecord]) -> list[str]:
    """Return the same lines for cells; a cell that failed before its training has none."""
    return missing_energy(
        {
            f"{one.model} {one.method} seed {one.seed}": one.main
            for one in records
            if one.status == "ok" and one.main is not None
        }
    )


def listed(names: Sequence[str]) -> str:
    """Return the first few of `names`, and the number of the rest: "a, b, c and 4 more"."""
    further = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {further} more" if further > 0 else "")
