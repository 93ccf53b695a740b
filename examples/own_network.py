"""Your own network: fine-tune it as it is, again for the noise, and factorized.

    pip install -e examples            # once: registers the name "example-net"
    pytest examples/own_network.py

The network is pretrained on 450 of scikit-learn's digits on first use, and fine-tuned on 450
others. The table has a row per method: energy, saving, epochs and the drop of accuracy.
"""

import pytest
from torch import nn

from energybench import ModelSpec


class ExampleNet(ModelSpec):
    """Two convolutions and two linear layers: (batch, 3, size, size) -> (batch, classes)."""

    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        """Return the network with random weights."""
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, classes),
        )


# Its name, its parameters with 1,000 classes, its last layer, and the pixels that it works at.
example_net = ExampleNet("example-net", 78_440, "10", image_size=32, small_image_size=16)


@pytest.mark.energy_matrix(
    models=["example-net"],
    methods=["baseline", "baseline-again", "lowrank"],
    options={"dataset": "digits", "tolerance": 3, "max-epochs": 6},
)
def test_own_network(cell, energy_cell):
    """Fails when the network loses more than 3 points."""
    energy_cell(cell)
