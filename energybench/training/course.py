"""A fine-tuning between two epochs: all that the next one depends on."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from energybench.compression.base import Compression, HasTrainingState
from energybench.records.record import EpochRecord
from energybench.training.early_stopping import EarlyStopping
from energybench.training.passes import sgd
from energybench.training.plan import Finetuning


class Course:
    """The epochs so far, the model and its optimizer, and the weights of the best epoch."""

    def __init__(self, model: nn.Module, compression: Compression, run: Finetuning) -> None:
        self.epochs: list[EpochRecord] = []
        self.optimizer = sgd(model, run.config)
        self._model = model
        self._compression = compression
        self._device = run.device
        self._most = run.epochs or run.config.max_epochs
        self._stopping = None
        if run.epochs is None:
            self._stopping = EarlyStopping(run.config.patience, run.config.min_delta)
        self._over = False
        self._best: dict[str, Tensor] = {}

    @property
    def over(self) -> bool:
        """Whether no epoch follows."""
        return self._over or len(self.epochs) >= self._most

    def add(self, epoch: EpochRecord) -> None:
        """Take the epoch that `model` has just been trained for."""
        self._count(epoch)
        if best_epoch(self.epochs) == epoch.epoch:
            self._best = {name: value.clone() for name, value in self._model.state_dict().items()}

    def finish(self) -> None:
        """Give the model the weights of the best epoch."""
        self._model.load_state_dict(self._best)

    def state_dict(self) -> dict[str, Any]:
        """All but the epochs' records: tensors, numbers, dicts and lists, not copied."""
        return {
            "model": self._model.state_dict(),
            "best": self._best,
            "optimizer": self.optimizer.state_dict(),
            "compression": (
                self._compression.training_state()
                if isinstance(self._compression, HasTrainingState)
                else {}
            ),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self._device) if self._on_cuda else None,
        }

    def load_state_dict(self, state: Mapping[str, Any], epochs: Sequence[EpochRecord]) -> None:
        """Go on as after `epochs`, with the `state_dict` of that moment.

        `model` must have been compressed as it was then. Random numbers go on, too.
        """
        for epoch in epochs:
            self._count(epoch)
        self._model.load_state_dict(state["model"])
        self._best = {name: value.to(self._device) for name, value in state["best"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        if isinstance(self._compression, HasTrainingState):
            own = {name: value.to(self._device) for name, value in state["compression"].items()}
            self._compression.load_training_state(own)
        torch.set_rng_state(state["random"])
        if self._on_cuda:
            torch.cuda.set_rng_state(state["random_cuda"], self._device)

    @property
    def _on_cuda(self) -> bool:
        return self._device.type == "cuda"

    def _count(self, epoch: EpochRecord) -> None:
        self.epochs.append(epoch)
        if self._stopping is not None:
            self._over = self._stopping.should_stop(epoch.validation_loss)


def best_epoch(epochs: Sequence[EpochRecord]) -> int:
    """Number of the epoch whose weights are the result."""
    return min(epochs, key=lambda epoch: epoch.validation_loss).epoch
