"""Image folders with noise in them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes an image folder data set: `tree(train=20, val=4)` puts that many into each class."""

    def make(classes: tuple[str, ...] = ("cat", "dog"), **splits: int) -> Path:
        pixels = np.random.default_rng(0)
        root = tmp_path / "images"
        for split, count in splits.items():
            for name in classes:
                folder = root / split / name
                folder.mkdir(parents=True)
                for number in range(count):
                    array = pixels.integers(0, 255, (40, 50, 3), dtype=np.uint8)
                    Image.fromarray(array).save(folder / f"{number}.jpg")
        return root

    return make
