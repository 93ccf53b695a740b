"""What is trained: the protocol of a task, and what it makes of a split."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from energybench.records.metric import Metric

__all__ = ["Batch", "Batches", "Metric", "Scores", "Share", "Split", "Task"]

Split = Literal["pretrain", "train", "validation", "test"]
Share = tuple[int, int]
"""(rank, world size): the part of a split that one rank works on; (0, 1) is all of it."""
Batch = Any
"""A tuple, list or dict of tensors, nested at will; the training loop moves it to the device."""
Forward = Callable[..., Any]
"""The model, or what stands in for it in a training step: compiled, or on several ranks."""


class Batches(Protocol):
    """One split, batch by batch; each `iter` is one epoch."""

    def __len__(self) -> int:
        """Batches per epoch."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """The batches of one epoch."""
        ...

    def skip(self, epochs: int) -> None:
        """Continue with the order of the epoch after the next `epochs` ones."""
        ...


@dataclass(frozen=True)
class Scores:
    """The model on one batch of an evaluation; every tensor is on the batch's device."""

    loss: Tensor
    """() summed over the items."""
    metric: Tensor
    """() what `Task.metric_value` divides by the items, summed over them."""
    outcomes: Tensor
    """(items,) int64 or float: what the model said of each item, such as its class."""


class Task(Protocol):
    """One data set and one network: what is trained, by which loss, judged by which metric."""

    metric: Metric
    item: str
    """What batches are made of, in the singular: "image", "token"."""

    def model(self, seed: int) -> nn.Module:
        """A network with its pretrained weights, on the CPU; `seed` initializes what is new."""
        ...

    def batches(self, split: Split, batch_size: int, seed: int, share: Share = (0, 1)) -> Batches:
        """One split; `batch_size` is that of all ranks together, `share` the part of this one."""
        ...

    def loss(self, model: Forward, batch: Batch) -> tuple[Tensor, int]:
        """The mean loss of a training step, (), and the items that it is the mean of."""
        ...

    def evaluate(self, model: nn.Module, batch: Batch) -> Scores:
        """Judge the model, which is in evaluation mode, on one batch."""
        ...

    def metric_value(self, mean: float) -> float:
        """The metric of a split, of the mean of `Scores.metric` over its items."""
        ...

    def synthetic(self, batch_size: int, device: torch.device) -> Batch:
        """A training batch of the right shapes, of random values."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What the record says of the data beside its name, such as {"image_size": 32}."""
        ...
