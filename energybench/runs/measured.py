"""The measurements of one cell so far, and the record made from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from energybench.config import Cell, RunConfig
from energybench.energy.grid import Grid
from energybench.energy.readings import EnergyReading, PowerTrace, added
from energybench.energy.spans import Span, time_text
from energybench.records.attempt import DISTURBANCES
from energybench.records.emissions import with_grid
from energybench.records.epoch import with_uneven
from energybench.records.metric import Metric
from energybench.records.record import (
    DATA_BOUND,
    CompressionReport,
    Dataset,
    EpochRecord,
    Forecast,
    RunRecord,
    Start,
    TestResult,
    Weights,
)
from energybench.records.target import target_of
from energybench.runs.facts import Facts
from energybench.runs.jobs import Reference


@dataclass
class Measured:
    """Results of a cell; every field holds its default until it is measured."""

    status: str = "ok"
    error: str | None = None
    phases: dict[str, EnergyReading] = field(default_factory=dict)
    spans: dict[str, list[Span]] = field(default_factory=dict)
    overhead: dict[str, EnergyReading] = field(default_factory=dict)
    start: Start | None = None
    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: int | None = None
    weights: Weights = field(default_factory=lambda: Weights(source=""))
    parameters: int | None = None
    compression: CompressionReport | None = None
    precision: str | None = None
    memory_format: str | None = None
    calibration: dict[str, Any] | None = None
    test: TestResult | None = None
    trace: PowerTrace | None = None

    def add_phase(self, name: str, *readings: EnergyReading) -> None:
        """Add readings to phase `name`; a phase in several parts is their sum."""
        _add(self.phases, name, *readings)

    def add_window(self, name: str, reading: EnergyReading, began_s: float) -> None:
        """Add the reading of a window of phase `name` that opened `began_s` seconds after 1970."""
        self.add_phase(name, reading)
        span = Span(time_text(began_s), reading.duration_s, reading.it_joules)
        self.spans[name] = [*self.spans.get(name, []), span]

    def add_notes(self, notes: Sequence[str]) -> None:
        """Add notes to the report of the compression."""
        if notes and self.compression is not None:
            report = self.compression
            self.compression = replace(report, notes=[*report.notes, *notes])

    def add_overhead(self, name: str, *readings: EnergyReading) -> None:
        """Add readings to the overhead `name`: `checkpoint`, `lost` or `repeated`."""
        _add(self.overhead, name, *readings)


@dataclass(frozen=True)
class Context:
    """Facts of a cell's record that are known without measuring."""

    cell: Cell
    config: RunConfig
    facts: Facts
    dataset: Dataset
    idle_watts: Mapping[str, float] = field(default_factory=dict)
    carbon: Grid | None = None
    forecast: Forecast | None = None


def record_of(context: Context, measured: Measured, reference: Reference | None) -> RunRecord:
    """Make the record; a pure function of its arguments.

    `reference` is None for a baseline, which is its own reference, and for a cell that runs before
    its baseline; `compared` completes the latter.
    """
    cell, phases = context.cell, measured.phases
    record = RunRecord(
        model=cell.model,
        method=cell.method,
        seed=cell.seed,
        dataset=context.dataset,
        weights=measured.weights,
        protocol=context.facts.protocol(context.config),
        machine=context.facts.machine.to_json(),
        status=measured.status,
        error=measured.error,
        phases=dict(phases),
        spans=dict(measured.spans),
        overhead=dict(measured.overhead),
        start=measured.start,
        epochs=with_uneven(measured.epochs, _is_measured(phases.get("finetune"))),
        best_epoch=measured.best_epoch,
        parameters=measured.parameters,
        compression=measured.compression,
        precision=measured.precision,
        memory_format=measured.memory_format,
        calibration=measured.calibration,
        test=measured.test,
        flags=list(phases["finetune"].flags) if "finetune" in phases else [],
        idle_watts=dict(context.idle_watts),
        assumptions=context.facts.assumptions,
        embodied_g_per_hour=context.config.measure.embodied_g_per_hour,
        trace=measured.trace,
        placement=context.facts.placement,
        forecast=context.forecast,
    )
    own = cell == cell.reference
    record = with_grid(_with_epoch_flags(_with_data_flag(record)), context.carbon)
    return compared(record, Reference(record, "this cell") if own else reference)


def _is_measured(reading: EnergyReading | None) -> bool:
    """Return whether all energy of `reading` was measured; estimates and replays were not."""
    if reading is None or not reading.sources:
        return False
    return all(reading.kind(domain) == "measured" for domain in reading.sources)


def _with_epoch_flags(record: RunRecord) -> RunRecord:
    """Flag a record by the disturbances of its epochs."""
    found = {flag for epoch in record.epochs for flag in epoch.flags} & {*DISTURBANCES}
    return replace(record, flags=list(dict.fromkeys([*record.flags, *sorted(found)])))


def _with_data_flag(record: RunRecord) -> RunRecord:
    """Flag a record as `data_bound` if the device waited too long for data."""
    share = record.data_wait_share
    if share is None or share <= DATA_BOUND:
        return record
    return replace(record, flags=[*record.flags, "data_bound"])


def compared(record: RunRecord, reference: Reference | None) -> RunRecord:
    """Return `record` with the reference's result, and when it was as good on validation.

    A pure function.
    """
    baseline = None if reference is None else reference.record.test
    if baseline is None or reference is None:
        return record
    record = with_target(record, reference.record.epochs, baseline.metric)
    if record.test is None:
        return record
    own, theirs = record.test.outcomes.split(), baseline.outcomes.split()
    lost, gained = _exchanged(record.test, baseline)
    return replace(
        record,
        reference_value=baseline.value,
        reference_source=reference.source,
        reference_id=reference.record.id,
        disagreements=sum(a != b for a, b in zip(own, theirs, strict=True)),
        lost=lost,
        gained=gained,
    )


def with_target(record: RunRecord, baseline: Sequence[EpochRecord], metric: Metric) -> RunRecord:
    """Add the energy to target, see `records.target`, at the record's own tolerance."""
    found = target_of(metric, record.tolerance, baseline, record.start, record.epochs)
    return replace(record, target=found)


def _exchanged(test: TestResult, baseline: TestResult) -> tuple[int | None, int | None]:
    """Return how many items the baseline alone has right, and how many this cell alone."""
    if test.right is None or baseline.right is None:
        return None, None
    pairs = list(zip(baseline.right, test.right, strict=True))
    return pairs.count(("1", "0")), pairs.count(("0", "1"))


def _add(readings: dict[str, EnergyReading], name: str, *more: EnergyReading) -> None:
    parts = [readings[name], *more] if name in readings else more
    if parts:
        readings[name] = added(*parts)
