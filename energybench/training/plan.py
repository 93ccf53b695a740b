"""A fine-tuning's plan: its task, data, protocol and device, and the callbacks that observe it."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch

from energybench.config import FinetuneConfig
from energybench.energy.readings import EnergyReading
from energybench.records.record import EpochRecord
from energybench.training.course import Course
from energybench.training.distributed.group import ALONE, Group
from energybench.workloads.base import Batch, Forward, Task

__all__ = ["EnergyWindow", "Finetuning", "Forward"]


class EnergyWindow(Protocol):
    """An energy window; its reading is there once the window is closed."""

    reading: EnergyReading


@dataclass(frozen=True)
class Finetuning:
    """Everything that fine-tunes a model, except the model itself and its compression."""

    task: Task
    """Gives the loss of a step and judges the model on the validation split."""
    train: Iterable[Batch]
    validation: Iterable[Batch]
    config: FinetuneConfig
    seed: int
    device: torch.device
    precision: str
    """The arithmetic: fp32, tf32, bf16, or default for what PyTorch takes by itself."""
    window: Callable[[], AbstractContextManager[EnergyWindow]]
    """Opens an energy window, around an epoch and around its training pass."""
    watch: Callable[[EpochRecord], None]
    """Called with the record of every finished epoch."""
    memory_format: str = "auto"
    """As in `RunConfig`: auto, contiguous or channels_last."""
    forward: Forward | None = None
    """Replaces the model in training steps, for instance compiled. None: the model itself."""
    group: Group = ALONE
    """The ranks that train together, each on its share of `train` and `validation`."""
    shard: bool = False
    """Whether the ranks divide the weights among them instead of having them whole."""
    epochs: int | None = None
    """Train for exactly this many epochs. None: early stopping, at most `config.max_epochs`."""
    resume: Callable[[Course], None] = lambda course: None
    """May load an earlier course's state into the new one; `train` must then start there too."""
    checkpoint: Callable[[Course], None] = lambda course: None
    """Called with the course after every epoch, outside of the epoch's window."""
