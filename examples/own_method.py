"""Your own method: train the biases and the norms only, beside two built-in methods.

    pip install -e examples            # once: registers the name "biases-only"
    pytest examples/own_method.py

A method says what it does to the network before training, after each step, and at the end. This
one freezes every weight of two or more dimensions: no step updates them.
"""

import pytest

from energybench import CompressionReport

TRAINED = 3
"""Stage in a composition: after structure, zeros and bits comes the choice of what is trained."""


class BiasesOnly:
    """Trains parameters of one dimension: biases, and scales and shifts of norms."""

    name = "biases-only"
    stage = TRAINED
    trains_freely = True  # after_step does nothing

    def compress(self, model, score, tolerance):
        """Freeze the weights; search nothing, so there are no scores."""
        frozen = [weight for weight in model.parameters() if weight.dim() > 1]
        for weight in frozen:
            weight.requires_grad_(False)
        return CompressionReport(
            method=self.name,
            settings={"frozen": sum(weight.numel() for weight in frozen)},
            compression_rate=0.0,
            reference_score=None,
            score=None,
        )

    def after_step(self, model):
        """Hold nothing: frozen weights get no update."""

    def finalize(self, model):
        """Change nothing."""


@pytest.mark.energy_matrix(
    models=["example-net"],
    methods=["baseline", "biases-only", "freeze"],
    options={"dataset": "digits", "tolerance": 5, "max-epochs": 6},
)
def test_own_method(cell, energy_cell):
    """Fails when a method loses more than 5 points."""
    energy_cell(cell)
