"""What fine-tunes a model: its data, the protocol, the device, and who watches."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from energybench.config import FinetuneConfig
from energybench.energy.readings import EnergyReading
from energybench.records.record import EpochRecord
from energybench.training.distributed.group import ALONE, Group

if TYPE_CHECKING:
    from energybench.training.course import Course


Forward = Callable[[Tensor], Tensor]
"""Images to logits."""


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
    memory_format: str = "auto"
    """As `RunConfig` has it."""
    forward: Forward | None = None
    """Takes the model's place in training steps: the model compiled. None: the model itself."""
    group: Group = ALONE
    """The ranks that train the model together, each on its share of `train` and `validation`."""
    epochs: int | None = None
    """Train for exactly so many; None: until `config` stops early, at most its `max_epochs`."""
    resume: Callable[["Course"], None] = lambda course: None
    """May bring the new course to where an earlier one ended; `train` goes on from there, then."""
    checkpoint: Callable[["Course"], None] = lambda course: None
    """Is given the course after every epoch, outside of the epoch's window."""
