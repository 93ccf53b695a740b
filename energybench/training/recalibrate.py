"""Batch-norm statistics of a compressed network, from the data that it will be trained on."""

from collections.abc import Iterable

import torch
from torch import nn

from energybench.compression.batch_norm import recompute_batchnorm
from energybench.training.feed import to_device
from energybench.training.precision import arithmetic
from energybench.workloads.base import Batch, Task


def recalibrate(
    model: nn.Module, task: Task, train: Iterable[Batch], device: torch.device, precision: str
) -> None:
    """Estimate the running statistics of batch norms anew, by one pass over `train`.

    Nothing else of the model changes. `train` is the whole split, also on one of several ranks.
    """

    def one_pass() -> None:
        with arithmetic(precision, device):
            for batch in train:
                task.answer(model, to_device(batch, device))

    recompute_batchnorm(model, one_pass)
