"""Compare the energy saved with the accuracy given up: each method at five tolerances.

    pytest benchmarks/studies/test_tolerance.py --benchmark-json=tolerance.json

Each cell is judged at its own tolerance. The baseline has none, and runs once per model and seed.
"""

import pytest

from energybench.runs.matrix import PAPER_MODELS

METHODS = ("baseline", "stego", "prune", "lowrank")
TOLERANCES = (0.5, 1.0, 2.0, 5.0, 10.0)


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS, tolerances=TOLERANCES)
def test_tolerance(cell, tolerance, energy_cell):
    """Fails when the accuracy drop against the baseline exceeds the cell's tolerance."""
    energy_cell(cell, tolerance=tolerance)
