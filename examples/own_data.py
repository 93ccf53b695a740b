"""Your own data: labelled images in memory, in four splits.

    pip install -e examples            # once: registers the names "shapes" and "example-net"
    pytest examples/own_data.py

The images here are drawn: discs and rings in noise. Replace `draw` by whatever reads yours. Images
in folders need no code at all: `--energy-dataset=folder:PATH`.
"""

import numpy as np
import pytest
import torch

from energybench.workloads.images.data.in_memory import (
    InMemory,
    InMemorySource,
    refuse_location,
    stratified,
)

SIDE = 16
SIZES = {"test": 200, "validation": 150, "train": 250}
"""Images per split; the rest is for pretraining."""


def draw(count, seed=0):
    """Return (count, SIDE, SIDE) float32 pixels of 0..1, and labels: 0 for discs, 1 for rings."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows, columns = np.mgrid[:SIDE, :SIDE]
    pixels = random.normal(0.2, 0.1, (count, SIDE, SIDE))
    for image, label in zip(pixels, labels, strict=True):
        radius, (y, x) = random.uniform(3, 5), random.uniform(5, 11, 2)
        distance = np.hypot(rows - y, columns - x)
        image[(distance < radius) & (distance >= label * (radius - 1.5))] += 0.5
    return pixels.clip(0, 1).astype(np.float32), labels


class Shapes(InMemory):
    """Discs and rings, two classes."""

    name = "shapes"
    classes = 2
    mean, std = 0.27, 0.2

    def __init__(self, models=frozenset(), split_seed=0):
        """Draw the images, and split them as `split_seed` says."""
        pixels, labels = draw(900)
        splits, rest = stratified(labels, SIZES, split_seed)
        stored = (pixels.tobytes(), labels.tobytes())
        super().__init__(
            *(torch.from_numpy(pixels), labels, splits | {"pretrain": rest}),
            *(b"".join(stored), models, split_seed),
        )


def open_shapes(location=""):
    """Open the data set `shapes`: `--energy-dataset=shapes`."""
    refuse_location(Shapes.name, location)
    return InMemorySource(Shapes)


@pytest.mark.energy_matrix(
    models=["example-net"],
    methods=["baseline", "prune"],
    options={"dataset": "shapes", "tolerance": 5, "max-epochs": 6},
)
def test_own_data(cell, energy_cell):
    """Fails when the network loses more than 5 points."""
    energy_cell(cell)
