"""Train each method for exactly the epochs of its baseline: does its accuracy recover?

    pytest benchmarks/studies/test_budget.py --benchmark-json=budget.json

With early stopping a method that recovers slowly trains longer, and its energy mixes the cost of an
epoch with the number of epochs. Here the numbers are equal: energy compares the cost of an epoch,
and accuracy compares the result of the same training. The best epoch's weights are the result, as
always.
"""

import pytest

from energybench.runs.matrix import PAPER_MODELS

METHODS = ("baseline", "stego", "prune", "lowrank")


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS)
def test_budget(cell, energy_cell):
    """Fails when the accuracy drop against the baseline exceeds the tolerance."""
    energy_cell(cell, budget="equal")
