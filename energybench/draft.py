"""A record in the making."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from energybench.bench import Bench
from energybench.config import Cell, FinetuneConfig
from energybench.data.base import Batches, Split
from energybench.errors import EnergybenchError
from energybench.failures import is_out_of_memory, one_line
from energybench.meters.trace import Tracer, power_trace
from energybench.meters.window import Window
from energybench.record import EnergyReading, EpochRecord, RunRecord
from energybench.training.finetune import Finetuning

log = logging.getLogger(__name__)


@dataclass
class Draft:
    """What was measured of a cell so far, whatever happens next."""

    cell: Cell
    bench: Bench
    phases: dict[str, EnergyReading] = field(default_factory=dict)
    epochs: list[EpochRecord] = field(default_factory=list)
    reference: tuple[RunRecord, str] | None = None
    status: str = "ok"
    error: str | None = None
    tracer: Tracer | None = None
    precision: str = field(init=False)
    """The arithmetic from now on."""
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
        """An energy window that waits for the device at both ends."""
        return self.bench.meters.window(self.bench.synchronize)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the block as phase `name`, also when it fails."""
        window = None
        if self.tracer is not None:
            self.tracer.mark(name)
        try:
            with self.bench.meters.window(self.bench.synchronize, states=True) as window:
                yield
        finally:
            if window is not None:
                self.phases[name] = window.reading

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Sample the power of the block, if that was asked for."""
        if not self.bench.config.measure.trace:
            yield
            return
        with power_trace(self.bench.meters) as self.tracer:
            yield

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
        return Finetuning(
            train=self.batches("train"),
            validation=self.batches("validation"),
            config=config,
            seed=self.cell.seed,
            device=self.bench.device,
            precision=self.precision,
            window=self.window,
            watch=watch,
        )

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
            dataset={
                "name": bench.data.name,
                "fingerprint": bench.data.fingerprint,
                "classes": bench.data.classes,
                "image_size": bench.image_size(cell.model),
                "splits": dict(bench.data.split_sizes),
            },
            weights=self._kept.pop("weights", {}),
            protocol=bench.protocol(),
            machine=bench.machine.to_json(),
            status=self.status,
            error=self.error,
            phases=self.phases,
            epochs=self.epochs,
            flags=self.phases["finetune"].flags if "finetune" in self.phases else [],
            precision=self.precision,
            idle_watts=bench.meters.idle_watts,
            carbon=bench.carbon,
            trace=None if self.tracer is None else self.tracer.trace,
            **self._kept,
        )
        return _compared(record, self.reference)


def _compared(record: RunRecord, reference: tuple[RunRecord, str] | None) -> RunRecord:
    """`record` with the reference's accuracy in it; a baseline is its own reference."""
    baseline, source = reference or (record, "this cell")
    if record.test is None or baseline.test is None:
        return record
    mine, theirs = record.test.predictions.split(), baseline.test.predictions.split()
    return replace(
        record,
        reference_accuracy=baseline.test.accuracy,
        reference_correct=baseline.test.correct,
        reference_source=source,
        disagreements=sum(a != b for a, b in zip(mine, theirs, strict=True)),
    )
