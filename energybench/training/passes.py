"""One pass over the training split, and the protocol's optimizer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from energybench import interruption
from energybench.compression.base import Compression
from energybench.config import FinetuneConfig
from energybench.errors import CellError
from energybench.training.distributed.sharding import is_sharded
from energybench.training.feed import Feed
from energybench.training.plan import Finetuning
from energybench.training.precision import arithmetic

NO_BATCH = "the training split is smaller than one batch; lower batch_size"


def sgd(model: nn.Module, config: FinetuneConfig) -> torch.optim.Optimizer:
    """Return the protocol's optimizer (arXiv 2506.01311) over the trainable parameters.

    PyTorch has no fused step for parameters that are divided among ranks.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.SGD(
        trained,
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        fused=not any(map(is_sharded, trained)),
    )


@dataclass(frozen=True)
class Pass:
    """The results of one pass."""

    loss: Tensor
    """() float64, summed over the items, still on the device."""
    items: int
    """Items trained on, such as images, by this rank."""
    steps: int
    feed: Feed


def train_pass(
    model: nn.Module, compression: Compression, optimizer: torch.optim.Optimizer, run: Finetuning
) -> Pass:
    """Take one optimizer step per batch of `run.train`, without waiting for the device.

    Raises `CellError` for a split without a batch.
    """
    model.train()
    forward = model if run.forward is None else run.forward
    feed = Feed(run.train, run.device)
    total = torch.zeros((), dtype=torch.float64, device=run.device)
    items_seen = steps = 0
    with arithmetic(run.precision, run.device):
        for batch in feed:
            loss, items = run.task.loss(forward, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            compression.after_step(model)
            interruption.check()
            total += loss.detach() * items
            items_seen += items
            steps += 1
    if steps == 0:
        raise CellError(NO_BATCH)
    return Pass(total, items_seen, steps, feed)
