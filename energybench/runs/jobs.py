"""Jobs (one cell to run each) and their outcomes, both as plain values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from energybench.config import Cell, RunConfig
from energybench.records.forecast import Forecast
from energybench.records.record import RunRecord, from_json
from energybench.records.schema import read_versioned


@dataclass(frozen=True)
class Reference:
    """The baseline that a cell is compared with."""

    record: RunRecord
    source: str
    """`this run`, `journal` or `cache`."""


@dataclass(frozen=True)
class Job:
    """One cell with all values that an executor needs to run it."""

    cell: Cell
    config: RunConfig
    """The run's configuration; `finetune.batch_size` is a number, `largest_batch` is False."""
    key: str
    """Cache key of the cell's result, see `facts.cell_key`."""
    reference: Reference | None = None
    """The baseline's outcome; None for a baseline, and for a cell that runs before its baseline."""
    checkpoints: str | None = None
    """Folder for a checkpoint after each epoch; None saves none."""
    resume: bool = False
    """Whether to continue from a checkpoint in `checkpoints`; if False, an old one is deleted."""
    forecast: Forecast | None = None
    """What was expected of the cell, for its record; None where nobody planned it."""

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers for `json.dump`."""
        return {"schema_version": 1, **asdict(self)}


@dataclass(frozen=True)
class Outcome:
    """The result of a job that has ended, finished or failed."""

    record: RunRecord
    seconds: float | None
    """Duration of fine-tuning, for the benchmark's timer; None if fine-tuning never started."""
    broken: bool = False
    """Whether the executor's ranks can run no further job."""
    complaints: tuple[str, ...] = ()
    """One line per checkpoint that could not be written or read."""
    interruption: BaseException | None = None
    """Ctrl-C or a signal that ended the cell; the caller raises it after keeping the record."""

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers; an interruption shows in the record's status."""
        return {
            "schema_version": 1,
            "record": self.record.to_json(),
            "seconds": self.seconds,
            "broken": self.broken,
            "complaints": list(self.complaints),
        }


@dataclass(frozen=True)
class _JobData:
    cell: Cell
    config: RunConfig
    key: str
    reference: dict[str, Any] | None
    checkpoints: str | None
    resume: bool
    schema_version: int
    forecast: Forecast | None = None


@dataclass(frozen=True)
class _OutcomeData:
    record: dict[str, Any]
    seconds: float | None
    broken: bool
    complaints: tuple[str, ...]
    schema_version: int


def job_from_json(data: Any) -> Job:
    """Read `Job.to_json`; raises `UsageError` for another shape or a newer version."""
    found = read_versioned(data, _JobData, "job", 1)
    reference = None
    if found.reference is not None:
        reference = _reference(found.reference)
    return Job(
        found.cell,
        found.config,
        found.key,
        reference,
        found.checkpoints,
        found.resume,
        found.forecast,
    )


def outcome_from_json(data: Any) -> Outcome:
    """Read `Outcome.to_json`; raises `UsageError` for another shape or a newer version."""
    found = read_versioned(data, _OutcomeData, "outcome", 1)
    record = from_json(found.record)
    return Outcome(record, found.seconds, found.broken, found.complaints)


def _reference(data: Mapping[str, Any]) -> Reference:
    return Reference(from_json(data.get("record")), str(data.get("source")))
