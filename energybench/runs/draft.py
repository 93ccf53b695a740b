"""A record in the making."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from energybench.config import Cell, FinetuneConfig
from energybench.energy.readings import EnergyReading, added
from energybench.energy.trace import Tracer, power_trace
from energybench.energy.windows import Window
from energybench.errors import EnergybenchError
from energybench.records.record import (
    DATA_BOUND,
    CompressionReport,
    Dataset,
    EpochRecord,
    Protocol,
    RunRecord,
    Weights,
)
from energybench.runs.bench import Bench
from energybench.runs.checkpoints import Checkpoint, Saved
from energybench.training.course import Course
from energybench.training.failures import is_out_of_memory, one_line
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.plan import Finetuning
from energybench.workloads.images.data.base import Batches, Split

log = logging.getLogger(__name__)


@dataclass
class Draft:
    """What was measured of a cell so far, whatever happens next."""

    cell: Cell
    bench: Bench
    phases: dict[str, EnergyReading] = field(default_factory=dict)
    overhead: dict[str, EnergyReading] = field(default_factory=dict)
    epochs: list[EpochRecord] = field(default_factory=list)
    reference: tuple[RunRecord, str] | None = None
    status: str = "ok"
    error: str | None = None
    tracer: Tracer | None = None
    precision: str = field(init=False)
    """The arithmetic from now on."""
    checkpoint: Checkpoint | None = None
    """Where the cell is saved after each epoch, if that was asked for."""
    _saved: Saved | None = None
    _kept: dict[str, Any] = field(default_factory=dict)
    _guarded: BaseException | None = None

    def __post_init__(self) -> None:
        self.precision = self.bench.config.precision

    @property
    def equal_epochs(self) -> int | None:
        """Epochs to train for exactly: the reference's, if that was asked for."""
        if self.bench.config.finetune.budget != "equal" or self.reference is None:
            return None
        baseline, _ = self.reference
        return len(baseline.epochs)

    def window(self) -> AbstractContextManager[Window]:
        """An energy window that waits for the device at both ends, see `Bench.window`."""
        return self.bench.window()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the block as phase `name`, also when it fails.

        A phase that was there before goes on: its reading is the sum.
        """
        window = None
        if self.tracer is not None:
            self.tracer.mark(name)
        try:
            with self.bench.window(states=True) as window:
                yield
        finally:
            if window is not None:
                _add(self.phases, name, window.reading)

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Sample the power of the block, if that was asked for."""
        if not self.bench.config.measure.trace:
            yield
            return
        with power_trace(self.bench.meters) as self.tracer:
            yield

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep account of what the block uses, if the cell is checkpointed."""
        if self.bench.checkpoint is None:
            yield
            return
        self.checkpoint = self.bench.checkpoint(self.bench.key(self.cell))
        with self.checkpoint.watched(self.window):
            yield

    def find_saved(self, model: nn.Module, report: CompressionReport) -> bool:
        """Whether an earlier run saved this cell; if so, take over all that it had measured.

        `model` and `report` are what compressing it once more has given.
        """
        if self.checkpoint is None:
            return False
        saved = self.checkpoint.load()
        if saved is not None and not _continues(saved, model, report):
            readings = [*saved.record.phases.values(), *saved.record.overhead.values()]
            self.checkpoint.reject(added(readings[0], *readings[1:]))
            saved = None
        if saved is not None:
            repeated = list(self.phases.values())
            self.phases, self.overhead = dict(saved.record.phases), dict(saved.record.overhead)
            _add(self.overhead, "repeated", *repeated)
            self.epochs = list(saved.record.epochs)
            self.precision = saved.record.precision or self.precision
            self.keep(compression=saved.record.compression, calibration=saved.record.calibration)
        if self.checkpoint.lost is not None:
            _add(self.overhead, "lost", self.checkpoint.lost)
        self._saved = saved
        return saved is not None

    def resume(self, course: Course) -> None:
        """Bring `course` to where the saved cell was, if there is one."""
        saved, self._saved = self._saved, None
        if saved is not None:
            course.load_state_dict(saved.course, saved.record.epochs)

    def save(self, course: Course) -> None:
        """Save the cell as it is after an epoch; what that costs is overhead."""
        assert self.checkpoint is not None
        with self.window() as window:
            self.checkpoint.save(self.record(), course.state_dict())
        _add(self.overhead, "checkpoint", window.reading)

    def guarded(self, work: Callable[[], None]) -> None:
        """Do `work` and hold back its error: inside a benchmark it would cost the whole JSON."""
        try:
            work()
        except BaseException as error:  # also Ctrl-C, which raise_guarded passes on
            self._guarded = error

    def raise_guarded(self) -> None:
        """Raise the error that `guarded` held back, if any."""
        error, self._guarded = self._guarded, None
        if error is not None:
            raise error

    def batches(self, split: Split) -> Batches:
        """The cell's view of one split."""
        return self.bench.batches(split, self.cell.model, self.cell.seed)

    def finetuning(
        self, config: FinetuneConfig, watch: Callable[[EpochRecord], None]
    ) -> Finetuning:
        """How the cell's model is trained."""
        train = self.batches("train")
        train.skip(len(self.epochs))
        return Finetuning(
            train=train,
            validation=self.batches("validation"),
            config=config,
            seed=self.cell.seed,
            device=self.bench.device,
            precision=self.precision,
            window=self.window,
            watch=watch,
            memory_format=self.bench.config.memory_format,
            group=self.bench.group,
        )

    def lay_out(self, model: nn.Module) -> None:
        """Give the model the memory format of its arithmetic, new layers too."""
        lay_out(model.parameters(), self._memory_format)

    @property
    def _memory_format(self) -> str:
        bench = self.bench
        return memory_format(bench.config.memory_format, self.precision, bench.device)

    def score(self, model: nn.Module) -> float:
        """Validation accuracy, for searches."""
        return self.bench.score(self.cell.model, self.cell.seed)(model)

    def keep(self, **fields: Any) -> None:
        """Set fields of the record."""
        self._kept.update(fields)

    def fail(self, error: Exception) -> None:
        """Record why the cell could not go on; what nobody foresaw is logged with its traceback."""
        if not isinstance(error, EnergybenchError) and not is_out_of_memory(error):
            story = "".join(traceback.format_exception(error))  # text: exc_info keeps the model
            log.error("%s failed\n%s", self.cell, story)
        self.status, self.error = "failed", one_line(error)

    def settle(self) -> None:
        """Fail where any rank has failed, with the error of the first that did."""
        error = self.bench.group.settle(self.error)
        if error is not None:
            self.status, self.error = "failed", error

    def interrupt(self, cause: BaseException) -> None:
        """Record that somebody ended the cell."""
        self.status, self.error = "interrupted", f"interrupted ({type(cause).__name__})"

    def record(self) -> RunRecord:
        """The record of all that was measured."""
        bench, cell = self.bench, self.cell
        record = RunRecord(
            model=cell.model,
            method=cell.method,
            seed=cell.seed,
            dataset=Dataset(
                name=bench.data.name,
                fingerprint=bench.data.fingerprint,
                splits=dict(bench.data.split_sizes),
                details={
                    "classes": bench.data.classes,
                    "image_size": bench.image_size(cell.model),
                    **bench.data.served(bench.image_size(cell.model)),
                },
            ),
            weights=self._kept.get("weights", Weights(source="")),
            protocol=Protocol(**bench.protocol()),
            machine=bench.machine.to_json(),
            status=self.status,
            error=self.error,
            phases=dict(self.phases),
            overhead=dict(self.overhead),
            epochs=list(self.epochs),
            flags=self.phases["finetune"].flags if "finetune" in self.phases else [],
            precision=self.precision,
            memory_format=self._memory_format,
            idle_watts=bench.idle_watts,
            placement=bench.layout,
            carbon=bench.carbon,
            trace=None if self.tracer is None else self.tracer.trace,
            **{name: value for name, value in self._kept.items() if name != "weights"},
        )
        return _compared(_data_bound(record), self.reference)


def _data_bound(record: RunRecord) -> RunRecord:
    """`record` with a flag if much of its training was waiting."""
    share = record.data_wait_share
    if share is None or share <= DATA_BOUND:
        return record
    return replace(record, flags=[*record.flags, "data_bound"])


def _add(readings: dict[str, EnergyReading], name: str, *more: EnergyReading) -> None:
    """Add `more` to the reading called `name`, if there is one yet."""
    all_of_it = [readings[name], *more] if name in readings else more
    if all_of_it:
        readings[name] = added(*all_of_it)


def _continues(saved: Saved, model: nn.Module, report: CompressionReport) -> bool:
    """Whether `model`, compressed again with this `report`, is as it was when it was saved."""
    before = saved.record.compression
    shapes = {name: value.shape for name, value in saved.course["model"].items()}
    return (
        before is not None
        and before.settings == report.settings
        and shapes == {name: value.shape for name, value in model.state_dict().items()}
    )


def _compared(record: RunRecord, reference: tuple[RunRecord, str] | None) -> RunRecord:
    """`record` with the reference's accuracy in it; a baseline is its own reference."""
    baseline, source = reference or (record, "this cell")
    if record.test is None or baseline.test is None:
        return record
    mine, theirs = record.test.outcomes.split(), baseline.test.outcomes.split()
    return replace(
        record,
        reference_value=baseline.test.value,
        reference_source=source,
        disagreements=sum(a != b for a, b in zip(mine, theirs, strict=True)),
    )
