"""What a data set is to the rest: named splits, served as normalized batches."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from energybench.config import DataConfig
from energybench.progress import Progress

Split = Literal["pretrain", "train", "validation", "test"]
Share = tuple[int, int]
"""(r, n): the part of a split that process r of n works on; (0, 1) is all of it."""


class Batches(Protocol):
    """One split, batch by batch; each `iter` is one epoch."""

    def __len__(self) -> int:
        """Batches per epoch."""
        ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (batch, 3, size, size) float32, normalized; labels (batch,) int64."""
        ...

    def skip(self, epochs: int) -> None:
        """Go on as after so many epochs: with the order of the next one.

        Random crops by worker processes are then others than without the interruption.
        """
        ...


class ImageData(Protocol):
    """A labelled image data set with fixed splits."""

    name: str
    classes: int
    fingerprint: str
    """Changes with the images, labels and splits; image folders go by file names and sizes."""
    imagenet_sized: bool
    """Whether images are photographs at each model's full input size (else its smallest one)."""

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Images per split; `pretrain` is there where the data set has its own pretraining."""
        ...

    def served(self, image_size: int) -> dict[str, Any]:
        """What else than the images decides what batches hold, for the record; {} for nothing."""
        ...

    def prepare(
        self,
        image_size: int,
        device: torch.device,
        config: DataConfig,
        progress: Progress,
        say: Callable[[str], None],
    ) -> str | None:
        """Do once what `batches` of that size on that device take, if `config` wants it.

        `say` is told beforehand what is to be done; what is returned says what was, None for
        nothing. `fingerprint`, `split_sizes` and `served` may change. Raises `UsageError`.
        """
        ...

    def batches(
        self, split: Split, image_size: int, batch_size: int, seed: int, share: Share = (0, 1)
    ) -> Batches:
        """The split in batches, or one process's share of them.

        `train` and `pretrain` are shuffled anew each epoch in an order that `seed` alone fixes,
        and a last batch smaller than the others is dropped: two images ruin BatchNorm's
        statistics. `batch_size` is that of all processes together: each takes its contiguous
        slice of every batch. The other splits come whole and in order: each process takes its
        contiguous slice of the split, in batches of its part of `batch_size`.
        """
        ...
