"""The order of items in batches, epoch by epoch, and the part of each batch that a rank takes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler

from energybench.workloads.base import Share, Split


class BatchOrder(Sampler[list[int]]):
    """Yields the indices of each batch of a split, ordered as `ImageData.batches` says.

    The items are images, or blocks of tokens.
    """

    def __init__(
        self, split: Split, items: int, batch_size: int, seed: int, share: Share = (0, 1)
    ) -> None:
        self._share: Share = (0, 1)
        if split in ("train", "pretrain"):
            order = RandomSampler(range(items), generator=torch.Generator().manual_seed(seed))
            self._batches = BatchSampler(order, min(batch_size, items), drop_last=True)
            self._share = share
        else:
            mine = range(items)[slice_of(items, share)]
            _, world_size = share
            self._batches = BatchSampler(mine, max(1, batch_size // world_size), drop_last=False)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches:
            yield batch[slice_of(len(batch), self._share)]

    def skip(self, epochs: int) -> None:
        """Skip the order of `epochs` epochs."""
        for _ in range(epochs):
            for _ in self._batches:
                pass


class OrderedLoader(DataLoader[Any]):
    """A PyTorch `DataLoader` of batches in a `BatchOrder`; `options` are the loader's.

    Random crops by worker processes start anew after `skip`: they differ from an uninterrupted run.
    """

    def __init__(self, data: Any, order: BatchOrder, **options: Any) -> None:
        super().__init__(data, **options)
        self._order = order

    def skip(self, epochs: int) -> None:
        """See `Batches.skip`."""
        self._order.skip(epochs)


def slice_of(length: int, share: Share) -> slice:
    """Return one rank's contiguous part of `length` items; parts differ by 1 item at most."""
    rank, world_size = share
    return slice(length * rank // world_size, length * (rank + 1) // world_size)
