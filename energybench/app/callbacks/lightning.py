"""The energy of a training of Lightning's `Trainer`: `EnergyCallback`.

Hooks as in `lightning.pytorch.callbacks.Callback`. A module may log in its own
`on_train_epoch_end`, which comes after the callback's, so an epoch lasts until the next one begins.
"""

from typing import TYPE_CHECKING, Any

from energybench.app.callbacks.recorder import Recorder
from energybench.errors import UsageError
from energybench.operators import declare_operators
from energybench.runs.scripts.run import Run

declare_operators()

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:
    try:
        from pytorch_lightning.callbacks import Callback
    except ImportError as error:
        raise UsageError(
            f"this callback needs Lightning ({error}); pip install 'energybench[lightning]'"
        ) from error

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class EnergyCallback(Callback):  # type: ignore[misc]
    """Measures a training, epoch by epoch: `Trainer(..., callbacks=[EnergyCallback("NAME")])`.

    The arguments are those of `energybench.measure`; the process of rank 0 measures its machine.
    The check of the validation before training is not measured. A failure of the measurement costs
    a line in the log, never the training.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self._recorder = Recorder(name, **options)

    @property
    def run(self) -> Run | None:
        """The last run; None before any."""
        return self._recorder.run

    def on_train_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Start measuring."""
        if trainer.is_global_zero:
            self._recorder.begin(
                {
                    "max_epochs": trainer.max_epochs,
                    "max_steps": trainer.max_steps,
                    "precision": str(trainer.precision),
                    "accumulate_grad_batches": trainer.accumulate_grad_batches,
                    "world_size": trainer.world_size,
                }
            )

    def on_train_epoch_start(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Keep the epoch before, and begin the next one."""
        self._recorder.values(trainer.callback_metrics)
        self._recorder.begin_epoch(trainer.current_epoch + 1)

    def on_train_end(self, trainer: "Trainer", pl_module: "LightningModule") -> None:
        """Save the run."""
        self._recorder.values(trainer.callback_metrics)
        self._recorder.end()

    def on_exception(
        self, trainer: "Trainer", pl_module: "LightningModule", exception: BaseException
    ) -> None:
        """Save the run as failed or interrupted."""
        self._recorder.end(exception)
