"""One pass over the training split, and the optimizer that it takes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from energybench.compression.base import Compression
from energybench.config import FinetuneConfig
from energybench.errors import CellError
from energybench.training.feed import Feed
from energybench.training.plan import Finetuning
from energybench.training.precision import arithmetic


def sgd(model: nn.Module, config: FinetuneConfig) -> torch.optim.Optimizer:
    """The protocol's optimizer, for all of `model` that is trained."""
    return torch.optim.SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=True,
    )


@dataclass(frozen=True)
class Pass:
    """One pass, as it was."""

    loss: Tensor
    """Summed over its images, float64, still on the device."""
    images: int
    steps: int
    feed: Feed


def train_pass(
    model: nn.Module, compression: Compression, optimizer: torch.optim.Optimizer, run: Finetuning
) -> Pass:
    """Take one step per batch of the training split; nothing in it waits for the device.

    Raises `CellError` for a split without a batch.
    """
    model.train()
    forward = model if run.forward is None else run.forward
    feed = Feed(run.train, run.device)
    total = torch.zeros((), dtype=torch.float64, device=run.device)
    images_seen = steps = 0
    with arithmetic(run.precision, run.device):
        for images, labels in feed:
            loss = cross_entropy(forward(images).float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            compression.after_step(model)
            total += loss.detach() * len(images)
            images_seen += len(images)
            steps += 1
    if steps == 0:
        raise CellError("the training split is smaller than one batch; lower --energy-batch-size")
    return Pass(total, images_seen, steps, feed)
