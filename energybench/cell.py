"""One cell, start to end: load, compress, fine-tune, finalize, evaluate, record."""

import gc
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import nn

from energybench.bench import Bench
from energybench.compression.base import Baseline, Compression
from energybench.compression.compose import build
from energybench.config import Cell, FinetuneConfig
from energybench.data.base import Batches, Split
from energybench.errors import EnergybenchError
from energybench.failures import is_out_of_memory, one_line
from energybench.loading import PretrainedModel
from energybench.meters.trace import Tracer, power_trace
from energybench.meters.window import Window
from energybench.models.zoo import ModelSpec
from energybench.record import EnergyReading, EpochRecord, HeldOutTest, RunRecord
from energybench.training.calibrate import calibrate
from energybench.training.evaluate import evaluate
from energybench.training.finetune import Finetuning, best_epoch, finetune

log = logging.getLogger(__name__)

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Timer = Callable[[Callable[[], None]], None]
"""Calls what it is given exactly once; pytest-benchmark's `pedantic` is one."""


def run_cell(cell: Cell, bench: Bench, timer: Timer = lambda timed: timed()) -> RunRecord:
    """Run `cell` and return its record; `timer` calls the fine-tuning.

    A cell that cannot go on is recorded as failed, with what it measured until then.
    """
    record = _record(cell, bench, timer)
    if cell == cell.reference:
        bench.keep_baseline(cell, record)
    _free_memory()
    return record


def _record(cell: Cell, bench: Bench, timer: Timer) -> RunRecord:
    """Nothing of the cell but its record is alive when this returns."""
    draft = _Draft(cell, bench)
    try:
        _run(draft, timer)
    except Exception as error:
        draft.fail(error)
    return draft.record()


def _run(draft: "_Draft", timer: Timer) -> None:
    cell, bench = draft.cell, draft.bench
    weights = bench.pretrained(cell.model)
    for split in _SPLITS:
        draft.batches(split)  # what a data set prepares once is no cell's energy
    if cell != cell.reference:
        draft.reference = bench.reference(cell, lambda baseline: run_cell(baseline, bench))

    with draft.traced():
        _measure(draft, weights, timer)


def _measure(draft: "_Draft", weights: PretrainedModel, timer: Timer) -> None:
    bench = draft.bench
    with draft.phase("load"):
        model, facts = weights.load(bench.device, draft.cell.seed)
        if facts["head_replaced"]:
            _fit_head(draft, model, weights.spec)
    draft.keep(weights=facts)

    compression = build(draft.cell.method)
    with draft.phase("compress"):
        report = compression.compress(model, draft.score, bench.config.tolerance_pp)
    draft.keep(compression=report, parameters=_trainable_parameters(model))
    _choose_precision(draft, model, compression)

    timer(lambda: draft.guarded(lambda: _finetune(draft, model, compression)))
    draft.raise_guarded()

    compression.finalize(model)
    with draft.phase("evaluate"):
        test = evaluate(model, draft.batches("test"), bench.device, draft.precision)
    predictions = " ".join(map(str, test.predictions.tolist()))
    draft.keep(test=HeldOutTest(test.accuracy, test.correct, len(test.labels), predictions))


def _fit_head(draft: "_Draft", model: nn.Module, spec: ModelSpec) -> None:
    """Train only the new head, by the same protocol: any search succeeds at an accuracy of chance.

    First the head, then everything: A. Kumar et al., arXiv 2202.10054.
    """
    model.requires_grad_(False)
    model.get_submodule(spec.head).requires_grad_(True)
    finetune(model, Baseline(), draft.finetuning(draft.bench.config.finetune, lambda epoch: None))
    model.requires_grad_(True)


def _choose_precision(draft: "_Draft", model: nn.Module, compression: Compression) -> None:
    """Settle the arithmetic of fine-tuning: the run's, the method's, or the cheapest that is exact.

    Narrower is not always cheaper, so a few steps in each decide; they are a phase of their own.
    """
    bench = draft.bench
    candidates = bench.precisions(compression)
    if len(candidates) == 1:
        (draft.precision,) = candidates
        return
    with draft.phase("calibrate"):
        training = draft.finetuning(bench.config.finetune, lambda epoch: None)
        calibration = calibrate(model, compression, candidates, training)
    draft.precision = calibration.chosen
    draft.keep(calibration=asdict(calibration))


def _finetune(draft: "_Draft", model: nn.Module, compression: Compression) -> None:
    cell, bench, config = draft.cell, draft.bench, draft.bench.config.finetune
    most = draft.equal_epochs or config.max_epochs
    with (
        bench.progress.bar(f"{cell.model} {cell.method}", most) as step,
        draft.phase("finetune"),
    ):

        def watch(epoch: EpochRecord) -> None:
            draft.epochs.append(epoch)
            watts = "" if epoch.joules is None else f", {epoch.joules / epoch.duration_s:.0f} W"
            step(f"loss {epoch.train_loss:.3f}, validation {epoch.validation_loss:.3f}{watts}")

        run = replace(draft.finetuning(config, watch), epochs=draft.equal_epochs)
        finetune(model, compression, run)
    draft.keep(best_epoch=best_epoch(draft.epochs))


@dataclass
class _Draft:
    """A record in the making: what was measured so far, whatever happens next."""

    cell: Cell
    bench: Bench
    phases: dict[str, EnergyReading] = field(default_factory=dict)
    epochs: list[EpochRecord] = field(default_factory=list)
    reference: tuple[RunRecord, str] | None = None
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
        bench, cell = self.bench, self.cell
        return bench.data.batches(
            split, bench.image_size(cell.model), bench.config.finetune.batch_size, cell.seed
        )

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
        config = self.bench.config
        validation = self.batches("validation")
        return evaluate(model, validation, self.bench.device, config.precision).accuracy

    def keep(self, **fields: Any) -> None:
        """Set fields of the record."""
        self._kept.update(fields)

    def fail(self, error: Exception) -> None:
        """Record why the cell could not go on; what nobody foresaw is logged with its traceback."""
        if not isinstance(error, EnergybenchError) and not is_out_of_memory(error):
            story = "".join(traceback.format_exception(error))  # text: exc_info keeps the model
            log.error("%s failed\n%s", self.cell, story)
        self.error = one_line(error)

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
            status="failed" if self.error else "ok",
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


def _trainable_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_initialized():
        with suppress(RuntimeError):  # a device that has failed has nothing to give back
            torch.cuda.empty_cache()
