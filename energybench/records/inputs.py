"""The recorded inputs of a cell: its data set and its pretrained weights."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Dataset:
    """The data that a cell was trained and tested on."""

    name: str
    """Name as in the option: "handwriting", "folder:/photographs"; "" of a script."""
    fingerprint: str
    """Changes with the items, their labels and the splits; where seeds draw these, of seed 0.
    It is "" of a script."""
    task: str = "image classification"
    item: str = "image"
    """One item of the data, in the singular: "image", "token"."""
    splits: dict[str, int] = field(default_factory=dict)
    """Split -> its items: {"train": 450, "validation": 297, "test": 600}."""
    details: dict[str, Any] = field(default_factory=dict)
    """Further facts of the task. Of images: `classes`, `image_size`, of folders how they were
    `served`, and the files that were `skipped`, each with the reason."""

    @property
    def items(self) -> str:
        """`item` in the plural."""
        return f"{self.item}s"


@dataclass(frozen=True)
class Weights:
    """The pretrained weights that a cell started from."""

    source: str
    """"torchvision IMAGENET1K_V1", "digits pretraining" or a path; "" where none were loaded, and
    of a script."""
    key: str | None = None
    """Changes with the values of the weights; None where that is not known."""
    head_replaced: bool = False
    """Whether the last layer was replaced, since the data have another number of classes."""
    test_value: float | None = None
    """The metric of the pretrained network on the test split; None where not measured."""
