"""The energy of a training of transformers' `Trainer`: `EnergyCallback`.

Events as in `transformers.TrainerCallback`: an epoch's evaluation and its logs come after
`on_epoch_end`, so an epoch lasts until the next one begins.
"""

from typing import Any

from energybench.app.callbacks.recorder import Recorder
from energybench.errors import UsageError
from energybench.operators import declare_operators
from energybench.runs.scripts.run import Run

declare_operators()

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise UsageError(
        f"this callback needs transformers ({error}); pip install 'energybench[language]'"
    ) from error

_SETTINGS = (
    *("learning_rate", "per_device_train_batch_size", "gradient_accumulation_steps"),
    *("num_train_epochs", "max_steps", "world_size", "bf16", "fp16"),
)
"""The arguments of a training that runs share where they are compared."""
_ROUNDING = 1e-6


class EnergyCallback(TrainerCallback):  # type: ignore[misc]
    """Measures a training, epoch by epoch: `Trainer(..., callbacks=[EnergyCallback("NAME")])`.

    The arguments are those of `energybench.measure`; the process of rank 0 measures its machine. A
    failure of the measurement costs a line in the log, never the training.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self._recorder = Recorder(name, **options)

    @property
    def run(self) -> Run | None:
        """The last run; None before any."""
        return self._recorder.run

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start measuring."""
        if state.is_world_process_zero:
            settings = {name: getattr(args, name, None) for name in _SETTINGS}
            self._recorder.begin(settings, args.seed)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the epoch before, and begin the next one."""
        self._recorder.begin_epoch(int((state.epoch or 0.0) + _ROUNDING) + 1)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Note the loss, the learning rate and what else the trainer logs."""
        self._recorder.values(logs or {})

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        """Note the metrics of an evaluation, as `eval_accuracy`."""
        self._recorder.values(metrics or {})

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save the run."""
        self._recorder.end()
