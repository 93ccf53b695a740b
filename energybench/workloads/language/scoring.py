"""Loss and next-token accuracy of a causal language model on one batch of blocks."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from energybench.records.metric import Metric
from energybench.workloads.base import Forward, Scores
from energybench.workloads.language.blocks import TextBatch

NEXT_TOKEN = Metric("next-token accuracy")
"""Share of tokens that are the model's first choice, 0..1."""


def logits(forward: Forward, tokens: Tensor) -> Tensor:
    """Return the logits of each next token, (blocks, length, vocabulary)."""
    found: Tensor = forward(tokens).logits
    return found


def training_loss(forward: Forward, batch: TextBatch) -> tuple[Tensor, int]:
    """Return the mean cross-entropy of the next token in nats, (), and the number of tokens."""
    tokens, following = batch
    flat = logits(forward, tokens).float().flatten(0, 1)
    return cross_entropy(flat, following.flatten()), following.numel()


def scores(model: nn.Module, batch: TextBatch) -> Scores:
    """Return summed cross-entropy in nats, right predictions, and predicted tokens."""
    tokens, following = batch
    flat, wanted = logits(model, tokens).float().flatten(0, 1), following.flatten()
    predictions = flat.argmax(dim=1)
    right = predictions == wanted
    loss = cross_entropy(flat, wanted, reduction="sum")
    return Scores(loss=loss, metric=right.sum(), outcomes=predictions, right=right)


def random_blocks(blocks: int, length: int, vocabulary: int, device: torch.device) -> TextBatch:
    """Return uniformly distributed tokens and next tokens, on `device`."""
    drawn = torch.randint(vocabulary, (blocks, length + 1), device=device)
    return drawn[:, :-1], drawn[:, 1:]
