"""A text's tokens in blocks of one length, without padding, and blocks in batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from energybench.errors import UsageError
from energybench.workloads.order import BatchOrder

TextBatch = tuple[Tensor, Tensor]
"""Tokens (blocks, length) int64, and the token that follows each of them, in the same shape."""


def packed(tokens: Tensor, length: int, what: str) -> Tensor:
    """Return `tokens`, (n,), as blocks (blocks, length + 1); the rest at the end is left out.

    The last token of a block is the first of the next, so that every token but the first is
    predicted once. Raises `UsageError`, which calls the text `what`, for less than one block.
    """
    count = (len(tokens) - 1) // length
    if count < 1:
        raise UsageError(
            f"{what} has {len(tokens):,} tokens, fewer than one block of {length:,} and the token "
            "after it; give more text, or a smaller block-length"
        )
    return tokens[: count * length + 1].unfold(0, length + 1, length)


@dataclass(frozen=True)
class BlockBatches:
    """`Batches` of blocks, (all blocks, length + 1), in the order of `order`."""

    blocks: Tensor
    order: BatchOrder

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[TextBatch]:
        for indices in self.order:
            part = self.blocks[indices]
            if torch.cuda.is_initialized():  # else each step would wait for the copy to the GPU
                part = part.pin_memory()
            yield part[:, :-1], part[:, 1:]

    def skip(self, epochs: int) -> None:
        """See `Batches.skip`."""
        self.order.skip(epochs)
