"""One cell from start to end: load, compress, fine-tune, finalize, evaluate, record."""

import logging
import traceback
from dataclasses import replace
from pathlib import Path

from torch import nn

from energybench import interruption
from energybench.compression.base import notes_after_training, required_precision
from energybench.compression.compose import build
from energybench.errors import EnergybenchError, is_out_of_memory
from energybench.records.record import RunRecord, TestResult
from energybench.records.record import Weights as WeightsRecord
from energybench.runs.checkpoints import Checkpoint
from energybench.runs.epoch_zero import EpochZero
from energybench.runs.facts import Facts, Prepared
from energybench.runs.fine_tuning import FineTuning
from energybench.runs.jobs import Job, Outcome
from energybench.runs.measured import Context, Measured, record_of
from energybench.runs.phases import Phases
from energybench.runs.resuming import Resuming
from energybench.runs.session import Session
from energybench.training.device import free_memory
from energybench.training.evaluate import evaluate
from energybench.training.failures import cuts_short, interrupted_by, one_line
from energybench.training.warm_up import kept_random_state, warm_up
from energybench.workloads.base import Batches, Split, Weights

log = logging.getLogger(__name__)

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def run_job(job: Job, session: Session, facts: Facts, prepared: Prepared) -> Outcome:
    """Run one cell on this rank and return its outcome; every error ends up in the record.

    A cell that cannot continue is recorded as failed, with its measurements so far. After an
    interruption (Ctrl-C, a signal, another plugin's time limit) the outcome carries the exception,
    for the caller to raise.
    """
    session = replace(session, config=job.config).of_seed(job.cell.seed)
    cell = _RunningCell(job, session, facts, prepared)
    cut_short_by = cell.attempt()
    if cut_short_by is None:
        cell.agree_on_failure()
    outcome = Outcome(
        record=cell.record(),
        seconds=cell.finetune_seconds,
        broken=session.group.broken,
        complaints=tuple(cell.complaints),
        interruption=cut_short_by,
    )
    if cut_short_by is None:
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
        self.fine_tuning = FineTuning(
            job, session, self.measured, self.phases, self.resuming, self.record
        )
        self._context = Context(
            job.cell,
            job.config,
            facts,
            prepared.dataset,
            session.idle_watts,
            session.carbon,
            job.forecast,
        )

    def attempt(self) -> BaseException | None:
        """Run the cell and return its interruption, if any; the model is freed on return."""
        try:
            self._run()
            interruption.check()
        except BaseException as raised:
            error = interruption.asked() or raised  # what it caused on its way may hide it
            if cuts_short(error):
                self.measured.status, self.measured.error = "interrupted", interrupted_by(error)
                return error.with_traceback(None)  # it would keep the model
            self._fail(error)
        return None

    def agree_on_failure(self) -> None:
        """Fail the cell on every rank where it failed on any, with the first rank's error."""
        error = self.session.group.first_failure(self.measured.error)
        if error is not None:
            self.measured.status, self.measured.error = "failed", error

    def record(self) -> RunRecord:
        """Make the record of the measurements so far."""
        self.measured.memory_format = self.fine_tuning.memory_format()
        return record_of(self._context, self.measured, self.job.reference)

    def _fail(self, error: BaseException) -> None:
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
                warm_up(model, replace(self.fine_tuning.plan(), precision=precision))
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
        forward = self.fine_tuning.compiled(model, compression, candidates)
        if not self.resuming.find(model, report):
            self.fine_tuning.choose_precision(model, compression, candidates, forward)
        self.fine_tuning.lay_out(model)
        start.compressed(model, self.fine_tuning.precision())
        try:
            self.fine_tuning.run(model, compression, forward)
        finally:
            if "finetune" in measured.phases:
                self.finetune_seconds = measured.phases["finetune"].duration_s
        compression.finalize(model)
        measured.add_notes(notes_after_training(compression, model))
        self._test(model)
        start.test(model, self.fine_tuning.precision())

    def _load(self, weights: Weights) -> nn.Module:
        with self.phases.phase("load"):
            model, facts = weights.load(self.session.device, self.job.cell.seed)
            model = self.session.group.broadcast_unless_equal(model, model)
            self.fine_tuning.lay_out(model)
            if facts["head_replaced"]:
                self.fine_tuning.fit_head(model, self.session.task(self.job.cell.model).head)
        self.measured.weights = WeightsRecord(
            source=facts["source"],
            key=facts.get("key"),
            head_replaced=facts["head_replaced"],
            test_value=facts.get("test_accuracy"),
        )
        return model

    def _test(self, model: nn.Module) -> None:
        session = self.session
        with self.phases.phase("evaluate"):
            task, batches = session.task(self.job.cell.model), self._batches("test")
            precision = self.fine_tuning.precision()
            test = evaluate(model, task, batches, session.device, precision, session.group)
        outcomes = " ".join(map(str, test.outcomes.tolist()))
        right = None if test.right is None else "".join(map(str, test.right.int().tolist()))
        self.measured.test = TestResult(
            task.metric, test.value, test.items, outcomes, right, test.loss
        )

    def _batches(self, split: Split) -> Batches:
        return self.session.batches(split, self.job.cell.model, self.job.cell.seed)


def _trainable_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
