"""The data set `digits`: 1,797 scanned handwritten digits (UCI, 8 x 8 pixels), in scikit-learn.

E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
1998. Four stratified splits: 450 images to pretrain on, 450 to fine-tune on, 297 for validation
(searches and early stopping), 600 to test. Networks are fine-tuned on the hands that they were
pretrained on, so that little is left to learn.
"""

from sklearn.datasets import load_digits
from torch import from_numpy

from energybench.workloads.base import Split
from energybench.workloads.images.data.in_memory import (
    InMemory,
    InMemorySource,
    refuse_location,
    stratified,
)

_SIZES: dict[Split, int] = {"test": 600, "validation": 297, "train": 450}
"""The rest is for pretraining."""
BRIGHTEST = 16
"""The largest value of a pixel of scikit-learn's digits; the smallest is 0."""


class Digits(InMemory):
    """The four splits of digits in memory."""

    name = "digits"
    mean, std = 0.305, 0.376

    def __init__(self, models: frozenset[str] = frozenset(), split_seed: int = 0) -> None:
        """Divide the images as `split_seed` says; seed 0 is the one of published results."""
        bunch = load_digits()
        splits, rest = stratified(bunch.target, _SIZES, split_seed)
        pixels = from_numpy(bunch.images / BRIGHTEST).float()
        stored = bunch.images.tobytes() + bunch.target.tobytes()
        super().__init__(
            pixels, bunch.target, splits | {"pretrain": rest}, stored, models, split_seed
        )


def open_digits(location: str = "") -> InMemorySource:
    """Open the data set `digits`; raises `UsageError` for a location, since digits have none."""
    refuse_location(Digits.name, location)
    return InMemorySource(Digits)
