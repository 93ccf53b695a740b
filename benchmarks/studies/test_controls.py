"""Does `stego` save by bits, by arithmetic or by epochs?

    pytest benchmarks/studies/test_controls.py --benchmark-json=controls.json

`stego-fp32` has the same bits cleared and no other arithmetic; `baseline-tf32` and `baseline-bf16`
have another arithmetic and no bits cleared. A cell whose arithmetic the device lacks is skipped.
"""

import pytest

from energybench.runs.matrix import PAPER_MODELS

METHODS = ("baseline", "stego", "stego-fp32", "baseline-tf32", "baseline-bf16")


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS)
def test_controls(cell, energy_cell):
    """Fails when the accuracy drop against the baseline exceeds the tolerance."""
    energy_cell(cell)
