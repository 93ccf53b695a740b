"""Facts of records that several formats tell: the one cell, its energy's origin, its hardware."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from energybench.config import Cell
from energybench.energy.coverage import kind_of
from energybench.energy.readings import EnergyReading
from energybench.energy.units import kwh
from energybench.errors import UsageError
from energybench.records.record import RunRecord
from energybench.records.saved import Run

_NAMED = 6
"""The most cells that a message names."""
_SPACE = UUID("c2d5a9a4-6d8b-5a1e-9f55-0b6a3f1e7d20")
"""Space of the ids that are made of a measurement's own."""


def cell_name(record: RunRecord) -> str:
    """The name of a cell on the command line: "resnet18-stego-seed0"."""
    return str(Cell(record.model, record.method, record.seed))


def only_cell(runs: Sequence[Run], name: str) -> list[Run]:
    """The runs with the cell called `name` alone; raises `UsageError` where there is none."""
    found = [
        replace(run, records=tuple(one for one in run.records if cell_name(one) == name))
        for run in runs
    ]
    if not any(run.records for run in found):
        raise UsageError(f"no cell {name!r}; there are {_listed(_cells(runs))}")
    return found


def finished(runs: Sequence[Run]) -> list[RunRecord]:
    """The cells that ended well; raises `UsageError` without any."""
    found = [record for record in _cells(runs) if record.status == "ok"]
    if not found:
        raise UsageError("no cell ended well; name a run with one")
    return found


def one_cell(runs: Sequence[Run], what: str) -> RunRecord:
    """The only finished cell of `runs`; `what` says what is of one cell alone, "a model card".

    Raises `UsageError` for several, and for none.
    """
    (record, *others) = cells = finished(runs)
    if others:
        raise UsageError(
            f"{what} is of one cell, and there are {len(cells)}; choose with --cell: "
            f"{_listed(cells)}"
        )
    return record


def _cells(runs: Sequence[Run]) -> list[RunRecord]:
    return [record for run in runs for record in run.records]


def _listed(records: Sequence[RunRecord]) -> str:
    names = list(dict.fromkeys(map(cell_name, records)))
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def fine_tuning(record: RunRecord) -> EnergyReading:
    """The reading of fine-tuning; raises `UsageError` where its energy is not known."""
    reading = record.main
    if reading is None or reading.it_joules is None:
        why = "it has no fine-tuning" if reading is None else reading.why_missing
        raise UsageError(f"{cell_name(record)} has no energy ({why}); name another cell")
    return reading


def it_kwh(reading: EnergyReading) -> float | None:
    """IT energy as the meters read it, kWh: no PUE is in it."""
    return None if reading.it_joules is None else kwh(reading.it_joules)


def origin(record: RunRecord) -> str:
    """How the energy is known: "measured by rapl", "an estimate by codecarbon_estimate"."""
    reading = record.main
    kinds = set() if reading is None else {reading.kind(name) for name in reading.sources}
    if kinds == {"measured"}:
        return f"measured by {record.energy_source}"
    if "estimated" in kinds:
        part = "an estimate" if len(kinds) == 1 else "in part an estimate"
        return f"{part} by {record.energy_source}"
    return f"replayed by {record.energy_source}" if kinds else "not known"


def energy_sentence(record: RunRecord, reading: EnergyReading) -> str:
    """What the energy covers, and what it leaves out."""
    return (
        f"Energy of fine-tuning with its validation, {origin(record)}: "
        f"{decimal_text(it_kwh(reading) or 0.0)} kWh over {reading.duration_s:.1f} s in "
        f"{', '.join(sorted({kind_of(name) for name in reading.joules}))}. It has no overhead of a "
        f"data centre; with a PUE of {record.pue:g} it is {decimal_text(record.kwh or 0.0)} kWh. "
        "Loading, the search of a compression and the test are not in it."
    )


def hardware(record: RunRecord) -> list[tuple[str, str, int, float | None]]:
    """Name, kind (`gpu`, `cpu`, `ram`), number and memory in GiB of the parts in use.

    Of several machines these are the parts of the first.
    """
    machine = record.machine
    reading = record.main
    domains = [] if reading is None else list(reading.joules)
    listed = [gpu for gpu in machine.get("gpus") or [] if isinstance(gpu, dict)]
    used = [gpu for gpu in listed if f"gpu:{gpu.get('id')}" in domains]
    if not used and record.protocol.device != "cpu":
        used = listed
    gpus = Counter((str(gpu.get("name")), _number(gpu.get("memory_gib"))) for gpu in used)
    parts = [(name, "gpu", count, memory) for (name, memory), count in gpus.items()]
    packages = sum(kind_of(name) == "cpu" for name in domains)
    parts.append((str(machine.get("cpu")), "cpu", max(1, packages), None))
    memory = _number(machine.get("ram_gib"))
    return [*parts, *([] if memory is None else [("RAM", "ram", 1, memory)])]


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and value >= 0 else None


def version_of(record: RunRecord, package: str) -> str | None:
    """The version of a package that the record's machine names."""
    versions = record.machine.get("versions")
    found = versions.get(package) if isinstance(versions, dict) else None
    return found if isinstance(found, str) else None


def report_id(record: RunRecord) -> str:
    """A UUID that stays the same for one measurement."""
    return str(uuid5(_SPACE, record.id or cell_name(record)))


def now() -> datetime:
    """Date and time in UTC, without a fraction of a second."""
    return datetime.now(UTC).replace(microsecond=0)


def decimal_text(value: float) -> str:
    """Six significant digits without an exponent, which not every format reads: "0.0000123"."""
    return format(Decimal(f"{value:.6g}"), "f")
