"""Separate the ways in which `stego` can save: bits, arithmetic or epochs.

    pytest benchmarks/studies/test_controls.py --benchmark-json=controls.json

`stego-fp32` clears the same bits and keeps the arithmetic. `baseline-tf32` and `baseline-bf16`
change the arithmetic and clear no bits. A cell whose arithmetic the device lacks is skipped.
"""

import pytest

from energybench.runs.matrix import PAPER_MODELS

METHODS = ("baseline", "stego", "stego-fp32", "baseline-tf32", "baseline-bf16")


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS)
def test_controls(cell, energy_cell):
    """Fails when the accuracy drop against the baseline exceeds the tolerance."""
    energy_cell(cell)
