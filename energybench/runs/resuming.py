"""Saving a cell after each epoch, and continuing an interrupted cell."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from torch import nn

from energybench.energy.readings import added
from energybench.energy.windows import Window
from energybench.records.record import CompressionReport, RunRecord
from energybench.runs.checkpoints import Checkpoint, Saved
from energybench.runs.measured import Measured
from energybench.training.course import Course


class Resuming:
    """The checkpoint of one running cell; without a checkpoint every method does nothing."""

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        measured: Measured,
        window: Callable[[], AbstractContextManager[Window]],
    ) -> None:
        self._checkpoint = checkpoint
        self._measured = measured
        self._window = window
        self._saved: Saved | None = None

    @property
    def saves(self) -> bool:
        """Whether the cell is saved after each epoch."""
        return self._checkpoint is not None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note the energy of the block while it runs, to know the loss of a killed cell."""
        if self._checkpoint is None:
            yield
            return
        with self._checkpoint.watched(self._window):
            yield

    def find(self, model: nn.Module, report: CompressionReport) -> bool:
        """Take over the measurements of an earlier run of this cell; return whether there are any.

        `model` and `report` come from compressing the model again. A checkpoint of another
        compression is rejected.
        """
        if self._checkpoint is None:
            return False
        saved = self._checkpoint.load()
        if saved is not None and not _continues(saved, model, report):
            readings = [*saved.record.phases.values(), *saved.record.overhead.values()]
            self._checkpoint.reject(added(readings[0], *readings[1:]))
            saved = None
        measured = self._measured
        if saved is not None:
            repeated = list(measured.phases.values())
            measured.phases = dict(saved.record.phases)
            measured.spans = dict(saved.record.spans)
            measured.overhead = dict(saved.record.overhead)
            measured.add_overhead("repeated", *repeated)
            measured.start = saved.record.start
            measured.epochs = list(saved.record.epochs)
            measured.precision = saved.record.precision or measured.precision
            measured.compression = saved.record.compression
            measured.calibration = saved.record.calibration
        if self._checkpoint.lost is not None:
            measured.add_overhead("lost", self._checkpoint.lost)
        self._saved = saved
        return saved is not None

    def restore(self, course: Course) -> None:
        """Set `course` to the saved epoch, if `find` found a checkpoint."""
        saved, self._saved = self._saved, None
        if saved is not None:
            course.load_state_dict(saved.course, saved.record.epochs)

    def save(self, record: RunRecord, course: Course) -> None:
        """Save the cell after an epoch; the energy of saving is overhead."""
        assert self._checkpoint is not None
        with self._window() as window:
            self._checkpoint.save(record, course.state_dict())
        self._measured.add_overhead("checkpoint", window.reading)

    def discard(self) -> None:
        """Delete the checkpoint of a cell that has ended."""
        if self._checkpoint is not None:
            self._checkpoint.discard()


def _continues(saved: Saved, model: nn.Module, report: CompressionReport) -> bool:
    """Return whether `model`, compressed again with `report`, has the saved structure."""
    before = saved.record.compression
    shapes = {name: value.shape for name, value in saved.course["model"].items()}
    return (
        before is not None
        and before.settings == report.settings
        and shapes == {name: value.shape for name, value in model.state_dict().items()}
    )
