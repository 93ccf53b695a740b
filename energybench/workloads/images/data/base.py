"""The protocol of a prepared image data set: fixed splits, served as normalized batches."""

from typing import Any, Protocol

from energybench.workloads.base import Batches, PreparedData, Share, Split


class ImageData(PreparedData, Protocol):
    """A labelled image data set with fixed splits, ready to serve batches."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...

    @property
    def photographs(self) -> bool:
        """Whether models see the images at `ModelSpec.image_size`, else at `small_image_size`."""
        ...

    def served(self, image_size: int) -> dict[str, Any]:
        """Return the record's entries on how batches are made, and on images left out."""
        ...

    def batches(
        self, split: Split, image_size: int, batch_size: int, seed: int, share: Share = (0, 1)
    ) -> Batches:
        """Return one split in batches of images and labels, or one rank's share of the split.

        Images are (batch, 3, image_size, image_size) float32, normalized; labels (batch,) int64.

        `train` and `pretrain` are shuffled anew each epoch, in an order that `seed` alone fixes. A
        last batch that is smaller than the others is dropped, because two images ruin the
        statistics of batch norm. `batch_size` counts the images of all ranks: each rank takes its
        contiguous slice of every batch.

        The other splits come whole and in order: each rank takes its contiguous slice of the split,
        in batches of its part of `batch_size`.
        """
        ...
