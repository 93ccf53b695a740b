"""The state of a fine-tuning between two epochs: all that the next epoch depends on."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from energybench.compression.base import Compression, HasTrainingState
from energybench.config import FinetuneConfig
from energybench.records.record import EpochRecord
from energybench.training.early_stopping import EarlyStopping


class Course:
    """The epochs so far, the model and its optimizer, and the weights of the best epoch."""

    def __init__(
        self,
        model: nn.Module,
        compression: Compression,
        optimizer: torch.optim.Optimizer,
        config: FinetuneConfig,
        device: torch.device,
        epochs: int | None = None,
    ) -> None:
        """Start before the first epoch; train exactly `epochs`, or by early stopping if None."""
        self.epochs: list[EpochRecord] = []
        self.optimizer = optimizer
        self._model = model
        self._compression = compression
        self._device = device
        self._most = epochs or config.max_epochs
        self._stopping = None
        if epochs is None:
            self._stopping = EarlyStopping(config.patience, config.min_delta)
        self._over = False
        self._best: dict[str, Tensor] = {}

    @property
    def over(self) -> bool:
        """Whether training is over."""
        return self._over or len(self.epochs) >= self._most

    def add(self, epoch: EpochRecord) -> None:
        """Add the epoch that the model has just been trained for."""
        self._count(epoch)
        if best_epoch(self.epochs) == epoch.epoch:
            self._best = {name: value.clone() for name, value in self._model.state_dict().items()}

    def finish(self) -> None:
        """Load the best epoch's weights into the model."""
        self._model.load_state_dict(self._best)

    def state_dict(self) -> dict[str, Any]:
        """Return all but the epochs' records: tensors, numbers, dicts and lists, not copied."""
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
        """Continue after `epochs`, from the `state_dict` of that moment.

        The model must be compressed as it was then. PyTorch's random number generators are set to
        their state in `state` too.
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
    """Return the number of the epoch with the lowest validation loss, whose weights are kept."""
    return min(epochs, key=lambda epoch: epoch.validation_loss).epoch
