"""Protocols of a task (a data set and a network) and of the data sets that tasks are made from.

Another package adds a task in one module and one entry point in the group `energybench.datasets`:

    [project.entry-points."energybench.datasets"]
    shakespeare = "my_package.shakespeare:open_shakespeare"

`open_shakespeare(location)` returns a `Source`; `location` is the part of
the data set's name `shakespeare:LOCATION` behind the colon. `Source.prepare` returns a
`PreparedData`, and `PreparedData.task(model)` returns the `PretrainedTask` of one network. Model
names belong to the task: images look them up in the registry `MODELS`, a language task may know
others.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from energybench.config import DataConfig
from energybench.progress import Progress
from energybench.records.metric import Metric

__all__ = [
    "Batch",
    "Batches",
    "CountsItems",
    "Forward",
    "Metric",
    "PreparedData",
    "PretrainedTask",
    "Scores",
    "Share",
    "Source",
    "Split",
    "Task",
    "Varies",
    "Weights",
]

Split = Literal["pretrain", "train", "validation", "test"]
Share = tuple[int, int]
"""(rank, world size): the part of a split that one rank works on; (0, 1) is all of it."""
Batch = Any
"""A tuple, list or dict of tensors, nested at will; the training loop moves it to the device."""
Forward = Callable[..., Any]
"""The model, or its replacement in a training step: compiled, or data-parallel over ranks."""


class Batches(Protocol):
    """One split, batch by batch; each `iter` is one epoch."""

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches of one epoch."""
        ...

    def skip(self, epochs: int) -> None:
        """Skip the order of `epochs` epochs: the next `iter` is the epoch after them."""
        ...


@dataclass(frozen=True)
class Scores:
    """The model's results on one batch of an evaluation; all tensors are on the batch's device."""

    loss: Tensor
    """(), summed over the items."""
    metric: Tensor
    """(), summed over the items; the mean over a split is what `Task.metric_value` takes."""
    outcomes: Tensor
    """(items,) int64 or float: the model's answer to each item, such as the predicted class."""
    right: Tensor | None = None
    """(items,) bool: whether each answer is right; None where answers are not right or wrong."""


class Task(Protocol):
    """One data set and one network: its batches, its loss and the metric that judges it.

    `training` needs no more than this: `finetune` minimizes `loss`, `training.evaluate.evaluate`
    sums the `Scores` of `evaluate` over a split.
    """

    @property
    def name(self) -> str:
        """The kind of task in records, such as "image classification"."""
        ...

    @property
    def metric(self) -> Metric:
        """The metric of searches, drops and tolerances."""
        ...

    @property
    def item(self) -> str:
        """The unit that batches, losses and throughput are counted in: "image", "token"."""
        ...

    def model(self, seed: int) -> nn.Module:
        """Return the pretrained network, on the CPU; `seed` initializes layers without weights."""
        ...

    def batches(self, split: Split, batch_size: int, seed: int, share: Share = (0, 1)) -> Batches:
        """Return one split; `batch_size` counts the items of all ranks, `share` selects a rank's.

        `train` and `pretrain` are shuffled anew each epoch, in an order that `seed` alone fixes.
        The other splits come whole and in a fixed order; each rank gets a contiguous slice.
        """
        ...

    def loss(self, forward: Forward, batch: Batch) -> tuple[Tensor, int]:
        """Return the mean loss of a training step, (), and the number of items in the mean.

        Must not wait for the device: no `.item()`, no `.cpu()`.
        """
        ...

    def answer(self, model: nn.Module, batch: Batch) -> Any:
        """Run the model on the inputs of one batch and return its output, without judging it."""
        ...

    def evaluate(self, model: nn.Module, batch: Batch) -> Scores:
        """Judge the model, which is in evaluation mode, on one batch."""
        ...

    def metric_value(self, mean: float) -> float:
        """Return a split's metric from the mean of `Scores.metric` over its items.

        Accuracy is the mean itself; perplexity is `exp(mean)` where `Scores.metric` is the loss.
        """
        ...

    def synthetic(self, batch_size: int, device: torch.device) -> Batch:
        """Return a training batch of random values in the task's shapes, on `device`."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """Return the record's entries on the data, such as {"classes": 10, "image_size": 32}."""
        ...


class Weights(Protocol):
    """Pretrained weights of one network, which may not exist before `ensure`."""

    @property
    def key(self) -> str:
        """The cache key, another one for other weights. Reading the key trains nothing."""
        ...

    @property
    def path(self) -> Path | None:
        """The file of the weights, where there is one; it may not exist before `ensure`."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """The record's entries that are known without loading, such as "test_accuracy"."""
        ...

    def ensure(self, progress: Progress, say: Callable[[str], None]) -> None:
        """Train the weights if they are neither given nor cached, and cache them.

        `say` is told one line before training starts. Raises `EnergybenchError` on failure.
        """
        ...

    def load(self, device: torch.device, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
        """Return a new network on `device` and the record's entries on its weights.

        Calls `ensure` first. The entries have at least "source" and "head_replaced", which is true
        where `PretrainedTask.head` has new weights, initialized by `seed`.
        """
        ...


class PretrainedTask(Task, Protocol):
    """A task as a run needs it: with weights that have a key, and a head that may be new."""

    @property
    def weights(self) -> Weights:
        """The network's pretrained weights; `Task.model` loads them."""
        ...

    @property
    def head(self) -> str:
        """Qualified name of the module that is trained first where it is new, such as "fc"."""
        ...


class PreparedData(Protocol):
    """A data set that is ready to serve batches. Nothing about it changes any more."""

    @property
    def name(self) -> str:
        """The data set's name in records, such as "folder:/data/pets"."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of the items, labels and splits."""
        ...

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Items per split; has `pretrain` if networks are pretrained on the data set itself.

        Where a network decides what an item is, as with the tokens of a text, these are counts of
        something else, and the task has `CountsItems`.
        """
        ...

    @property
    def models(self) -> frozenset[str]:
        """The models that the data set was prepared for."""
        ...

    @property
    def built(self) -> tuple[str, ...]:
        """Work that this preparation did, one line each; empty where everything was cached."""
        ...

    def task(self, model: str, weights: str | None, device: torch.device) -> PretrainedTask:
        """Return the task of training `model` on this data.

        `weights` is a checkpoint file or folder (`RunConfig.weights`), None if not given; missing
        weights are trained on `device`. Raises `UsageError` for an unknown model and for weights
        not found.
        """
        ...


@runtime_checkable
class CountsItems(Protocol):
    """Optional member of a task whose network decides what an item is."""

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Items per split."""
        ...


@runtime_checkable
class Varies(Protocol):
    """Optional members of a `PreparedData` that splits its items, and pretrains on them, by a seed.

    Such data have a split `pretrain`.
    """

    @property
    def split_seed(self) -> int:
        """The seed of the splits and of pretraining; 0 as prepared."""
        ...

    def varied(self, seed: int) -> Self:
        """Return the same items under another seed; networks are then pretrained anew."""
        ...


class Source(Protocol):
    """A data set that has been found: what `DATASETS.get(kind)(location)` returns."""

    def prepare(
        self,
        models: Sequence[str],
        device: torch.device,
        config: DataConfig,
        progress: Progress,
        say: Callable[[str], None],
    ) -> PreparedData:
        """Do once, for all of `models`, the work that serving their batches on `device` takes.

        Decoding images into a cache is such work. `say` is told one line before it begins. The
        source itself does not change: a second call returns another object. Raises `UsageError`.
        """
        ...
