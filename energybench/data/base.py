"""What a data set is to the rest: named splits, served as normalized batches."""

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol

from torch import Tensor

Split = Literal["pretrain", "train", "validation", "test"]


class Batches(Protocol):
    """One split, batch by batch; each `iter` is one epoch."""

    def __len__(self) -> int:
        """Batches per epoch."""
        ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (batch, 3, size, size) float32, normalized; labels (batch,) int64."""
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

    def batches(self, split: Split, image_size: int, batch_size: int, seed: int) -> Batches:
        """The split in batches.

        `train` and `pretrain` are shuffled anew each epoch in an order that `seed` alone fixes,
        and a last batch smaller than the others is dropped: two images ruin BatchNorm's
        statistics. The other splits come whole and in order.
        """
        ...
