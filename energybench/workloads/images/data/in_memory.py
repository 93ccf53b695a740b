"""Small grey images kept whole in memory, in splits drawn by a seed, enlarged to any size."""

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import TensorDataset

from energybench.config import DataConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.workloads.base import Batches, Share, Split
from energybench.workloads.images.task import ImageClassification
from energybench.workloads.order import BatchOrder, OrderedLoader


class InMemory:
    """Labelled images with their splits; an `ImageData`.

    A subclass gives them a name, and is made from the models and the seed of the splits.
    """

    name: ClassVar[str]
    mean: ClassVar[float]
    """Mean of the pixels, which are in 0..1; batches have it subtracted."""
    std: ClassVar[float]
    """Standard deviation of the pixels; batches are divided by it."""
    classes = 10
    photographs = False
    built: tuple[str, ...] = ()

    def __init__(
        self,
        pixels: Tensor,
        labels: NDArray[np.int64],
        splits: Mapping[Split, Sequence[int]],
        stored: bytes,
        models: frozenset[str],
        split_seed: int,
    ) -> None:
        """Keep `pixels` (images, side, side) float32 of 0..1, their `labels`, and `splits`.

        `splits` are indices of images, drawn by `split_seed`. `stored` is what the pixels and
        labels were made from; it decides the fingerprint, as arithmetic on pixels may round
        differently elsewhere.
        """
        self._pixels = pixels
        self._labels = torch.from_numpy(labels)
        self._indices = {name: list(indices) for name, indices in splits.items()}
        self._models = models
        self._split_seed = split_seed
        self._enlarged: dict[tuple[Split, int], Tensor] = {}
        digest = hashlib.sha256(stored)
        for name, indices in self._indices.items():
            digest.update(name.encode() + np.asarray(indices, dtype=np.int64).tobytes())
        self._fingerprint = digest.hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        """Hash of the pixels, labels and splits."""
        return self._fingerprint

    @property
    def models(self) -> frozenset[str]:
        """The models that the data set was prepared for."""
        return self._models

    @property
    def split_seed(self) -> int:
        """The seed that draws the splits."""
        return self._split_seed

    def varied(self, seed: int) -> Self:
        """Return the same images in splits of another seed."""
        if seed == self._split_seed:
            return self
        other: Self = _made(cast(Hashable, type(self)), self._models, seed)
        return other

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Images per split."""
        return {name: len(indices) for name, indices in self._indices.items()}

    def served(self, image_size: int) -> dict[str, Any]:
        """Return no entries: batches are made in one way only."""
        return {}

    def task(self, model: str, weights: str | None, device: torch.device) -> ImageClassification:
        """Return the task of training `model` on the images."""
        return ImageClassification.named(model, self, weights, device)

    def batches(
        self, split: Split, image_size: int, batch_size: int, seed: int, share: Share = (0, 1)
    ) -> Batches:
        """Return the split at `image_size` pixels (bilinear), as three equal channels."""
        data = TensorDataset(self._images(split, image_size), self._labels[self._indices[split]])
        order = BatchOrder(split, len(data), batch_size, seed, share)
        pin = torch.cuda.is_initialized()  # else each step would wait for the copy to the GPU
        return OrderedLoader(data, order, sampler=order, batch_size=None, pin_memory=pin)

    def _images(self, split: Split, image_size: int) -> Tensor:
        key = (split, image_size)
        if key not in self._enlarged:
            small = self._pixels[self._indices[split]].unsqueeze(1)
            large = interpolate(small, size=(image_size, image_size), mode="bilinear")
            self._enlarged[key] = ((large - self.mean) / self.std).repeat(1, 3, 1, 1)
        return self._enlarged[key]


@lru_cache(maxsize=2)
def _made(kind: Hashable, models: frozenset[str], split_seed: int) -> Any:
    """Make a data set; cells of one seed follow each other, and find their images enlarged."""
    return cast(type, kind)(models, split_seed)


@dataclass(frozen=True)
class InMemorySource:
    """The `Source` of a data set in memory, which needs no preparation."""

    open: Callable[[frozenset[str]], InMemory]
    """Makes the data set for a set of models."""

    def prepare(
        self,
        models: Sequence[str],
        device: torch.device,
        config: DataConfig,
        progress: Progress,
        say: Callable[[str], None],
    ) -> InMemory:
        """Return the data set; nothing is done ahead, since `InMemory.batches` enlarges at once."""
        return self.open(frozenset(models))


def stratified(
    labels: NDArray[np.int64], sizes: Mapping[Split, int], seed: int
) -> tuple[dict[Split, list[int]], list[int]]:
    """Take splits of `sizes` one after another, each with every class in its share.

    Return split -> sorted indices into `labels`, and the indices left over. `labels`, `sizes` and
    `seed` alone decide, on every machine.
    """
    splits: dict[Split, list[int]] = {}
    rest = np.arange(len(labels))
    for name, size in sizes.items():
        rest, taken = train_test_split(
            rest, test_size=size, stratify=labels[rest], random_state=seed
        )
        splits[name] = sorted(taken.tolist())
    return splits, sorted(rest.tolist())


def refuse_location(name: str, location: str) -> None:
    """Raise `UsageError` where a data set without files of the user's is given a path."""
    if location:
        raise UsageError(f"{name} is installed with energybench and takes no path: `{name}` alone")
