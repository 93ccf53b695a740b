"""The embedded data set: 1,797 scanned handwritten digits (UCI, 8 x 8 pixels), in scikit-learn.

E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
1998. Four stratified splits, drawn by a seed: 450 images to pretrain on, 450 to fine-tune on, 297
for validation (searches and early stopping), 600 to test.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import TensorDataset

from energybench.config import DataConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.workloads.base import Batches, Share, Split
from energybench.workloads.images.data.order import BatchOrder, OrderedLoader
from energybench.workloads.images.task import ImageClassification

_SPLIT_SIZES = {"pretrain": 450, "train": 450, "validation": 297, "test": 600}
_MEAN, _STD = 0.305, 0.376
"""Mean and standard deviation of all pixels, scaled to 0..1."""


class Digits:
    """The four splits in memory, enlarged to any image size; an `ImageData`."""

    name = "digits"
    classes = 10
    photographs = False
    built: tuple[str, ...] = ()

    def __init__(self, models: frozenset[str] = frozenset(), split_seed: int = 0) -> None:
        bunch = load_digits()
        self._models = models
        self._split_seed = split_seed
        self._pixels = torch.tensor(bunch.images, dtype=torch.float32) / 16.0
        self._labels = torch.tensor(bunch.target, dtype=torch.int64)
        self._indices = _stratified_splits(bunch.target, split_seed)
        self._enlarged: dict[tuple[Split, int], Tensor] = {}
        digest = hashlib.sha256(bunch.images.tobytes() + bunch.target.tobytes())
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
        """The seed that draws the splits; networks are pretrained by it, too."""
        return self._split_seed

    def varied(self, seed: int) -> "Digits":
        """Return the same images in splits of another seed."""
        return self if seed == self._split_seed else _digits(self._models, seed)

    @property
    def split_sizes(self) -> Mapping[str, int]:
        """Images per split."""
        return dict(_SPLIT_SIZES)

    def served(self, image_size: int) -> dict[str, Any]:
        """Return no entries: batches are made in one way only."""
        return {}

    def task(self, model: str, weights: str | None, device: torch.device) -> ImageClassification:
        """Return the task of training `model` on digits."""
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
            self._enlarged[key] = ((large - _MEAN) / _STD).repeat(1, 3, 1, 1)
        return self._enlarged[key]


@dataclass(frozen=True)
class DigitsSource:
    """The `Source` of `Digits`, which need no preparation."""

    def prepare(
        self,
        models: Sequence[str],
        device: torch.device,
        config: DataConfig,
        progress: Progress,
        say: Callable[[str], None],
    ) -> Digits:
        """Return the data set; nothing is done ahead, since `Digits.batches` enlarges at once."""
        return Digits(frozenset(models))


@lru_cache(maxsize=2)
def _digits(models: frozenset[str], split_seed: int) -> Digits:
    """Return the splits of one seed; cells of one seed follow each other, and enlarge once."""
    return Digits(models, split_seed)


def _stratified_splits(labels: np.ndarray, seed: int) -> dict[Split, list[int]]:
    """Return the indices of each split, the same on every machine."""
    splits: dict[Split, list[int]] = {}
    rest = np.arange(len(labels))
    names: tuple[Split, ...] = ("test", "validation", "train")
    for name in names:
        rest, taken = train_test_split(
            rest,
            test_size=_SPLIT_SIZES[name],
            stratify=labels[rest],
            random_state=seed,
        )
        splits[name] = sorted(taken.tolist())
    splits["pretrain"] = sorted(rest.tolist())
    return splits


def open_digits(location: str = "") -> DigitsSource:
    """Open the data set `digits`; raises `UsageError` for a location, since digits have none."""
    if location:
        raise UsageError(f"digits is in the package and takes no path, not {location!r}")
    return DigitsSource()
