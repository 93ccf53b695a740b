"""Compare every combination of the three methods with each of them alone.

pytest benchmarks/studies/test_compositions.py --benchmark-json=compositions.json
"""

import pytest

from energybench.runs.matrix import PAPER_MODELS

METHODS = (
    "baseline",
    "stego",
    "prune",
    "lowrank",
    "prune+stego",
    "lowrank+stego",
    "lowrank+prune",
    "lowrank+prune+stego",
)


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS)
def test_compositions(cell, energy_cell):
    """Fails when the accuracy drop against the baseline exceeds the tolerance."""
    energy_cell(cell)
