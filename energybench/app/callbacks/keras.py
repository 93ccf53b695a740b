"""The energy of a training of Keras' `fit`: `EnergyCallback`.

Events as in `keras.callbacks.Callback`: epochs count from 0, and the logs of an epoch have its
validation as `val_loss`. What has no such prefix is of the training part and is called so here:
`loss` becomes `train_loss`.
"""

from typing import Any

from energybench.app.callbacks.recorder import Recorder
from energybench.errors import UsageError
from energybench.runs.scripts.run import Run

try:
    from keras.callbacks import Callback
except ImportError as error:
    raise UsageError(
        f"this callback needs Keras ({error}); pip install 'energybench[keras]'"
    ) from error

_OF_NO_PART = ("val_", "learning_rate")


class EnergyCallback(Callback):  # type: ignore[misc]
    """Measures a training, epoch by epoch: `model.fit(..., callbacks=[EnergyCallback("NAME")])`.

    The arguments are those of `energybench.measure`. A loop of one's own calls the methods itself.
    A failure of the measurement costs a line in the log, never the training.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__()
        self._recorder = Recorder(name, **options)

    @property
    def run(self) -> Run | None:
        """The last run; None before any."""
        return self._recorder.run

    def on_train_begin(self, logs: Any = None) -> None:
        """Start measuring."""
        self._recorder.begin({"max_epochs": (self.params or {}).get("epochs")})

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keep the epoch before, and begin the next one."""
        self._recorder.begin_epoch(epoch + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the losses and metrics of the epoch."""
        found = (logs or {}).items()
        self._recorder.values(
            {
                name if name.startswith(_OF_NO_PART) else f"train_{name}": value
                for name, value in found
            }
        )

    def on_train_end(self, logs: Any = None) -> None:
        """Save the run."""
        self._recorder.end()
