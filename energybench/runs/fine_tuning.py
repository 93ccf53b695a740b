"""Fine-tuning within one cell: the plan, the arithmetic, the epochs as they end."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace

from torch import nn

from energybench.compression.base import Baseline, Compression
from energybench.records.record import EpochRecord, RunRecord
from energybench.runs.jobs import Job
from energybench.runs.measured import Measured
from energybench.runs.phases import Phases
from energybench.runs.resuming import Resuming
from energybench.runs.session import Session
from energybench.training.calibrate import calibrate
from energybench.training.compiled import compiled as compile_for
from energybench.training.course import Course, best_epoch
from energybench.training.finetune import finetune
from energybench.training.memory_format import lay_out as give_format
from energybench.training.memory_format import memory_format as format_of
from energybench.training.plan import Finetuning, Forward
from energybench.workloads.base import Batches, Split


class FineTuning:
    """Trains the model of one cell, and fills what that tells into its `Measured`."""

    def __init__(
        self,
        job: Job,
        session: Session,
        measured: Measured,
        phases: Phases,
        resuming: Resuming,
        record: Callable[[], RunRecord],
    ) -> None:
        """`record` makes the cell's record so far, for its checkpoints."""
        self._job, self._session, self._measured = job, session, measured
        self._phases, self._resuming, self._record = phases, resuming, record

    def fit_head(self, model: nn.Module, head: str) -> None:
        """Train only the new head, by the same protocol, before everything is trained.

        A search would accept any change of a model at chance level. Training the head first follows
        A. Kumar et al., arXiv 2202.10054.
        """
        model.requires_grad_(False)
        model.get_submodule(head).requires_grad_(True)
        finetune(model, Baseline(), self.plan())
        model.requires_grad_(True)

    def compiled(
        self, model: nn.Module, compression: Compression, candidates: Sequence[str]
    ) -> Forward | None:
        """Compile the model for its candidate arithmetics, if `config.compile` asks for it."""
        if not self._session.config.compile:
            return None
        with self._phases.phase("compile"):
            return compile_for(model, compression, candidates, self.plan())

    def choose_precision(
        self,
        model: nn.Module,
        compression: Compression,
        candidates: Sequence[str],
        forward: Forward | None,
    ) -> None:
        """Choose the arithmetic of fine-tuning by a few measured steps in each candidate."""
        if len(candidates) == 1:
            (self._measured.precision,) = candidates
            return
        with self._phases.phase("calibrate"):
            run = replace(self.plan(), forward=forward)
            calibration = calibrate(model, compression, candidates, run)
        self._measured.precision = calibration.chosen
        self._measured.calibration = asdict(calibration)

    def run(self, model: nn.Module, compression: Compression, forward: Forward | None) -> None:
        """Fine-tune `model` as phase "finetune", and keep every epoch as it ends.

        Where checkpoints are kept, the phase pauses while one is written.
        """
        cell, measured = self._job.cell, self._measured
        epochs = self._equal_epochs()
        most = epochs or self._session.config.finetune.max_epochs
        forecast, title = self._job.forecast, f"{cell.model} {cell.method}"
        likely = None if forecast is None or epochs else forecast.epochs.likely
        with (
            self._session.progress.bar(title, most, likely, at_most=epochs is None) as step,
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
                self._resuming.save(self._record(), course)
                phase.enter_context(self._phases.phase("finetune"))

            for epoch in measured.epochs:  # epochs of the run that this one continues
                show(epoch)
            run = replace(
                self.plan(),
                watch=watch,
                forward=forward,
                epochs=epochs,
                resume=self._resuming.restore,
            )
            if self._resuming.saves:
                run = replace(run, checkpoint=save)
            phase.enter_context(self._phases.phase("finetune"))
            finetune(model, compression, run)
        measured.best_epoch = best_epoch(measured.epochs)

    def _equal_epochs(self) -> int | None:
        """Return the exact number of epochs under the budget `equal`, which is the reference's."""
        if self._session.config.finetune.budget != "equal" or self._job.reference is None:
            return None
        return len(self._job.reference.record.epochs)

    def plan(self) -> Finetuning:
        """Describe how this cell's model is trained, without a watcher of its epochs."""
        session = self._session
        train = self._served("train")
        train.skip(len(self._measured.epochs))
        return Finetuning(
            task=session.task(self._job.cell.model),
            train=train,
            validation=self._served("validation"),
            config=session.config.finetune,
            seed=self._job.cell.seed,
            device=session.device,
            precision=self.precision(),
            window=self._phases.window,
            watch=lambda epoch: None,
            memory_format=session.config.memory_format,
            group=session.group,
            shard=session.config.shard,
        )

    def precision(self) -> str:
        """Return the arithmetic that was chosen for the cell, until then the run's own."""
        return self._measured.precision or self._session.config.precision

    def memory_format(self) -> str:
        """Return the memory format of that arithmetic."""
        asked = self._session.config.memory_format
        return format_of(asked, self.precision(), self._session.device)

    def lay_out(self, model: nn.Module) -> None:
        """Give the model's weights the memory format of its arithmetic."""
        give_format(model.parameters(), self.memory_format())

    def _served(self, split: Split) -> Batches:
        return self._session.batches(split, self._job.cell.model, self._job.cell.seed)
