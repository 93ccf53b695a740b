"""The paper's fine-tuning (arXiv 2506.01311): SGD, early stopping on the validation loss."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from energybench.compression.base import Compression
from energybench.config import FinetuneConfig
from energybench.errors import CellError
from energybench.record import EnergyReading, EpochRecord
from energybench.training.early_stopping import EarlyStopping
from energybench.training.evaluate import evaluate
from energybench.training.precision import arithmetic


class EnergyWindow(Protocol):
    """A window that can be read once it is closed."""

    reading: EnergyReading


@dataclass(frozen=True)
class Finetuning:
    """What fine-tunes a model, beside the model itself."""

    train: Iterable[tuple[Tensor, Tensor]]
    validation: Iterable[tuple[Tensor, Tensor]]
    config: FinetuneConfig
    seed: int
    device: torch.device
    precision: str
    window: Callable[[], AbstractContextManager[EnergyWindow]]
    """Opens the energy window around an epoch."""
    watch: Callable[[EpochRecord], None]
    """Is told of every finished epoch."""
    epochs: int | None = None
    """Train for exactly so many; None: until `config` stops early, at most its `max_epochs`."""


def finetune(model: nn.Module, compression: Compression, run: Finetuning) -> list[EpochRecord]:
    """Train `model` in place, holding `compression` after each step; one record per epoch.

    The model ends with the weights of the epoch whose validation loss was lowest. Raises
    `CellError` when a loss is not finite.
    """
    torch.manual_seed(run.seed)  # dropout and stochastic depth
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(run.device)
    optimizer = sgd(model, run.config)
    stopping = EarlyStopping(run.config.patience, run.config.min_delta)
    epochs: list[EpochRecord] = []
    best_loss, best_state = math.inf, dict[str, Tensor]()
    for number in range(1, (run.epochs or run.config.max_epochs) + 1):
        record = _one_epoch(number, model, compression, optimizer, run)
        epochs.append(record)
        run.watch(record)
        if record.validation_loss < best_loss:
            best_loss = record.validation_loss
            best_state = {name: value.clone() for name, value in model.state_dict().items()}
        if run.epochs is None and stopping.should_stop(record.validation_loss):
            break
    model.load_state_dict(best_state)
    return epochs


def sgd(model: nn.Module, config: FinetuneConfig) -> torch.optim.Optimizer:
    """The protocol's optimizer, for all of `model` that is trained."""
    return torch.optim.SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )


def best_epoch(epochs: list[EpochRecord]) -> int:
    """Number of the epoch whose weights are the result."""
    return min(epochs, key=lambda epoch: epoch.validation_loss).epoch


def _one_epoch(
    number: int,
    model: nn.Module,
    compression: Compression,
    optimizer: torch.optim.Optimizer,
    run: Finetuning,
) -> EpochRecord:
    with run.window() as whole:
        with run.window() as training:
            loss, images, steps = train_pass(model, compression, optimizer, run)
            train_loss = loss.item() / images
        _require_finite(train_loss, "training", number)
        validation = evaluate(model, run.validation, run.device, run.precision)
        _require_finite(validation.loss, "validation", number)
    cuda = run.device.type == "cuda"
    return EpochRecord(
        epoch=number,
        train_loss=train_loss,
        validation_loss=validation.loss,
        validation_accuracy=validation.accuracy,
        steps=steps,
        images=images,
        duration_s=whole.reading.duration_s,
        joules=whole.reading.it_joules,
        images_per_s=images / training.reading.duration_s,
        peak_memory_bytes=torch.cuda.max_memory_allocated(run.device) if cuda else None,
    )


def train_pass(
    model: nn.Module, compression: Compression, optimizer: torch.optim.Optimizer, run: Finetuning
) -> tuple[Tensor, int, int]:
    """One pass over the training split: summed loss (left on the device), images, steps."""
    model.train()
    total = torch.zeros((), dtype=torch.float64, device=run.device)
    images_seen = steps = 0
    with arithmetic(run.precision, run.device):
        for images, labels in run.train:
            logits = model(images.to(run.device, non_blocking=True))
            loss = cross_entropy(logits.float(), labels.to(run.device, non_blocking=True))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            compression.after_step(model)
            total += loss.detach() * len(images)
            images_seen += len(images)
            steps += 1
    if steps == 0:
        raise CellError("the training split is smaller than one batch; lower --energy-batch-size")
    return total, images_seen, steps


def _require_finite(loss: float, which: str, epoch: int) -> None:
    if not math.isfinite(loss):
        raise CellError(
            f"the {which} loss of epoch {epoch} is {loss}; training diverged: "
            "try a larger --energy-batch-size or other weights"
        )
