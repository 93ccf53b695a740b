"""One cell from start to end: load, compress, fine-tune, finalize, evaluate, record."""

import logging
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from energybench.compression.base import (
    Baseline,
    Compression,
    notes_after_training,
    required_precision,
)
from energybench.compression.compose import build
from energybench.errors import EnergybenchError
from energybench.records.record import EpochRecord, RunRecord, TestResult
from energybench.records.record import Weights as WeightsRecord
from energybench.runs.checkpoints import Checkpoint
from energybench.runs.epoch_zero import EpochZero
from energybench.runs.facts import Facts, Prepared
from energybench.runs.jobs import Job, Outcome
from energybench.runs.measured import Context, Measured, record_of
from energybench.runs.phases import Phases
from energybench.runs.resuming import Resuming
from energybench.runs.session import Session
from energybench.training.calibrate import calibrate
from energybench.training.compiled import compiled
from energybench.training.course import Course, best_epoch
from energybench.training.device import free_memory
from energybench.training.evaluate import evaluate
from energybench.training.failures import is_out_of_memory, one_line
from energybench.training.finetune import finetune
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.plan import Finetuning, Forward
from energybench.training.warm_up import kept_random_state, warm_up
from energybench.workloads.base import Batches, Split, Weights

log = logging.getLogger(__name__)

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def run_job(job: Job, session: Session, facts: Facts, prepared: Prepared) -> Outcome:
    """Run one cell on this rank and return its outcome; every error ends up in the record.

    A cell that cannot continue is recorded as failed, with its measurements so far. After an
    interruption (Ctrl-C, SIGTERM) the outcome carries the exception, for the caller to raise.
    """
    session = replace(session, config=job.config).of_seed(job.cell.seed)
    cell = _RunningCell(job, session, facts, prepared)
    interruption = cell.attempt()
    if interruption is None:
        cell.agree_on_failure()
    outcome = Outcome(
        record=cell.record(),
        seconds=cell.finetune_seconds,
        broken=session.group.broken,
        complaints=tuple(cell.complaints),
        interruption=interruption,
    )
    if interruption is None:
        cell.resuming.discard()
    del cell
    free_memory()
    return outcome


class _RunningCell:
    """One cell while it runs: its job, its session, and its measurements."""

    def __init__(self, job: Job, session: Session, facts: Facts, prepared: Prepared) -> None:
        self.job, self.session = job, session
        self.complaints: list[str] = []
        self.finetune_seconds: float | None = None
        self.measured = Measured(precision=session.config.precision)
        self.phases = Phases(session, self.measured)
        self.resuming = Resuming(self._checkpoint(), self.measured, self.phases.window)
        self._context = Context(
            job.cell, job.config, facts, prepared.dataset, session.idle_watts, session.carbon
        )

    def attempt(self) -> BaseException | None:
        """Run the cell and return its interruption, if any; the model is freed on return."""
        try:
            self._run()
        except Exception as error:
            self._fail(error)
        except BaseException as error:
            self.measured.status = "interrupted"
            self.measured.error = f"interrupted ({type(error).__name__})"
            return error.with_traceback(None)  # it would keep the model
        return None

    def agree_on_failure(self) -> None:
        """Fail the cell on every rank where it failed on any, with the first rank's error."""
        error = self.session.group.first_failure(self.measured.error)
        if error is not None:
            self.measured.status, self.measured.error = "failed", error

    def record(self) -> RunRecord:
        """Make the record of the measurements so far."""
        self.measured.memory_format = self._memory_format()
        return record_of(self._context, self.measured, self.job.reference)

    def _fail(self, error: Exception) -> None:
        """Record the error; log the traceback of an unexpected error."""
        if not isinstance(error, EnergybenchError) and not is_out_of_memory(error):
            story = "".join(traceback.format_exception(error))  # text: exc_info keeps the model
            log.error("%s failed\n%s", self.job.cell, story)
        self.measured.status, self.measured.error = "failed", one_line(error)

    def _checkpoint(self) -> Checkpoint | None:
        job = self.job
        if job.checkpoints is None:
            return None
        return Checkpoint(Path(job.checkpoints), job.key, job.resume, self._complain)

    def _complain(self, line: str) -> None:
        self.complaints.append(line)

    def _run(self) -> None:
        self.session.share_weights([self.job.cell.model])
        weights = self.session.pretrained(self.job.cell.model)
        for split in _SPLITS:
            self._batches(split)  # one-time work on a data set counts for no cell
        self._warm_up(weights)
        with self.resuming.watched(), self.phases.traced():
            self._measure(weights)

    def _warm_up(self, weights: Weights) -> None:
        """Train throw-away weights for a few steps, so that no window of the cell begins cold.

        A compressed network may fit a device on which the whole one does not; a network that does
        not fit warms up nothing.
        """
        session, cell = self.session, self.job.cell
        precision = required_precision(build(cell.method)) or session.config.precision
        try:
            with kept_random_state(session.device):
                model, _ = weights.load(session.device, cell.seed)
                warm_up(model, replace(self._plan(), precision=precision))
        except Exception as error:
            if session.group.world_size > 1 or not is_out_of_memory(error):
                raise
        else:
            del model
        free_memory()

    def _measure(self, weights: Weights) -> None:
        session, measured = self.session, self.measured
        model = self._load(weights)
        start = EpochZero(self.job.cell, session, measured, self._batches)
        start.pretrained(model, session.config.precision)
        compression = build(self.job.cell.method)
        with self.phases.phase("compress"):
            score = session.score(self.job.cell.model, self.job.cell.seed)
            report = compression.compress(model, score, session.config.tolerance)
            if session.config.recalibrate_bn:
                session.recalibrate(model, self.job.cell.model, self.job.cell.seed)
            made = model, compression, report
            model, compression, report = session.group.broadcast_unless_equal(made, model)
        measured.compression = report
        measured.parameters = _trainable_parameters(model)
        candidates = session.precisions(compression)
        forward = self._compiled(model, compression, candidates)
        if not self.resuming.find(model, report):
            self._choose_precision(model, compression, candidates, forward)
        self._lay_out(model)
        start.compressed(model, self._precision())
        try:
            self._finetune(model, compression, forward)
        finally:
            if "finetune" in measured.phases:
                self.finetune_seconds = measured.phases["finetune"].duration_s
        compression.finalize(model)
        measured.add_notes(notes_after_training(compression, model))
        self._test(model)
        start.test(model, self._precision())

    def _load(self, weights: Weights) -> nn.Module:
        with self.phases.phase("load"):
            model, facts = weights.load(self.session.device, self.job.cell.seed)
            model = self.session.group.broadcast_unless_equal(model, model)
            self._lay_out(model)
            if facts["head_replaced"]:
                self._fit_head(model, self.session.task(self.job.cell.model).head)
        self.measured.weights = WeightsRecord(
            source=facts["source"],
            key=facts.get("key"),
            head_replaced=facts["head_replaced"],
            test_value=facts.get("test_accuracy"),
        )
        return model

    def _fit_head(self, model: nn.Module, head: str) -> None:
        """Train only the new head, by the same protocol, before everything is trained.

        A search would accept any change of a model at chance level. Training the head first follows
        A. Kumar et al., arXiv 2202.10054.
        """
        model.requires_grad_(False)
        model.get_submodule(head).requires_grad_(True)
        finetune(model, Baseline(), self._plan())
        model.requires_grad_(True)

    def _compiled(
        self, model: nn.Module, compression: Compression, candidates: Sequence[str]
    ) -> Forward | None:
        """Compile the model for its candidate arithmetics, if `config.compile` asks for it."""
        if not self.session.config.compile:
            return None
        with self.phases.phase("compile"):
            return compiled(model, compression, candidates, self._plan())

    def _choose_precision(
        self,
        model: nn.Module,
        compression: Compression,
        candidates: Sequence[str],
        forward: Forward | None,
    ) -> None:
        """Choose the arithmetic of fine-tuning by a few measured steps in each candidate."""
        if len(candidates) == 1:
            (self.measured.precision,) = candidates
            return
        with self.phases.phase("calibrate"):
            run = replace(self._plan(), forward=forward)
            calibration = calibrate(model, compression, candidates, run)
        self.measured.precision = calibration.chosen
        self.measured.calibration = asdict(calibration)

    def _finetune(
        self, model: nn.Module, compression: Compression, forward: Forward | None
    ) -> None:
        cell, measured = self.job.cell, self.measured
        epochs = self._equal_epochs()
        most = epochs or self.session.config.finetune.max_epochs
        with (
            self.session.progress.bar(f"{cell.model} {cell.method}", most) as step,
            ExitStack() as phase,
        ):

            def show(epoch: EpochRecord) -> None:
                watts = "" if epoch.joules is None else f", {epoch.joules / epoch.duration_s:.0f} W"
                step(f"loss {epoch.train_loss:.3f}, validation {epoch.validation_loss:.3f}{watts}")

            def watch(epoch: EpochRecord) -> None:
                measured.epochs.append(epoch)
                show(epoch)

            def save(course: Course) -> None:
                phase.close()
                self.resuming.save(self.record(), course)
                phase.enter_context(self.phases.phase("finetune"))

            for epoch in measured.epochs:  # epochs of the run that this one continues
                show(epoch)
            run = replace(
                self._plan(),
                watch=watch,
                forward=forward,
                epochs=epochs,
                resume=self.resuming.restore,
            )
            if self.resuming.saves:
                run = replace(run, checkpoint=save)
            phase.enter_context(self.phases.phase("finetune"))
            finetune(model, compression, run)
        measured.best_epoch = best_epoch(measured.epochs)

    def _equal_epochs(self) -> int | None:
        """Return the exact number of epochs under the budget `equal`, which is the reference's."""
        if self.session.config.finetune.budget != "equal" or self.job.reference is None:
            return None
        return len(self.job.reference.record.epochs)

    def _test(self, model: nn.Module) -> None:
        session = self.session
        with self.phases.phase("evaluate"):
            task, batches = session.task(self.job.cell.model), self._batches("test")
            precision = self._precision()
            test = evaluate(model, task, batches, session.device, precision, session.group)
        outcomes = " ".join(map(str, test.outcomes.tolist()))
        right = None if test.right is None else "".join(map(str, test.right.int().tolist()))
        self.measured.test = TestResult(
            task.metric, test.value, test.items, outcomes, right, test.loss
        )

    def _plan(self) -> Finetuning:
        """Describe how this cell's model is trained, without a watcher of its epochs."""
        session = self.session
        train = self._batches("train")
        train.skip(len(self.measured.epochs))
        return Finetuning(
            task=session.task(self.job.cell.model),
            train=train,
            validation=self._batches("validation"),
            config=session.config.finetune,
            seed=self.job.cell.seed,
            device=session.device,
            precision=self._precision(),
            window=self.phases.window,
            watch=lambda epoch: None,
            memory_format=session.config.memory_format,
            group=session.group,
        )

    def _batches(self, split: Split) -> Batches:
        return self.session.batches(split, self.job.cell.model, self.job.cell.seed)

    def _precision(self) -> str:
        return self.measured.precision or self.session.config.precision

    def _memory_format(self) -> str:
        asked = self.session.config.memory_format
        return memory_format(asked, self._precision(), self.session.device)

    def _lay_out(self, model: nn.Module) -> None:
        """Give the model's weights the memory format of its arithmetic."""
        lay_out(model.parameters(), self._memory_format())


def _trainable_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
