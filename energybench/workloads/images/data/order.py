"""Which images a batch has, epoch by epoch, and which of them a process of several takes."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler

from energybench.workloads.base import Share, Split


class BatchOrder(Sampler[list[int]]):
    """Indices of each batch of a split of `images`, as `ImageData.batches` promises them."""

    def __init__(
        self, split: Split, images: int, batch_size: int, seed: int, share: Share = (0, 1)
    ) -> None:
        self._share: Share = (0, 1)
        if split in ("train", "pretrain"):
            order = RandomSampler(range(images), generator=torch.Generator().manual_seed(seed))
            self._batches = BatchSampler(order, min(batch_size, images), drop_last=True)
            self._share = share
        else:
            mine = range(images)[slice_of(images, share)]
            _, processes = share
            self._batches = BatchSampler(mine, max(1, batch_size // processes), drop_last=False)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches:
            yield batch[slice_of(len(batch), self._share)]

    def skip(self, epochs: int) -> None:
        """Go on as after so many epochs."""
        for _ in range(epochs):
            for _ in self._batches:
                pass


class OrderedLoader(DataLoader[Any]):
    """PyTorch's loader of batches in a `BatchOrder`; `options` are its own."""

    def __init__(self, data: Any, order: BatchOrder, **options: Any) -> None:
        super().__init__(data, **options)
        self._order = order

    def skip(self, epochs: int) -> None:
        """See `Batches.skip`."""
        self._order.skip(epochs)


def slice_of(length: int, share: Share) -> slice:
    """The contiguous part of `length` things that is one process's; sizes differ by 1 at most."""
    rank, processes = share
    return slice(length * rank // processes, length * (rank + 1) // processes)
