"""Separate the ways in which `stego` and `prune` can save: bits or zeros, arithmetic, epochs.

    pytest benchmarks/studies/test_controls.py --benchmark-json=controls.json

`stego-once` and `prune-once` compress once and then train freely, as arXiv 2506.01311 does.
`stego-fp32` and `prune` hold the same bits and zeros through training. Beside the capacity that
each search finds, 20, 22 and 23 bits are measured both ways: does holding destroy what training
freely would mend? On a GPU, `baseline-tf32`, `baseline-bf16` and `baseline-default` change the
arithmetic and clear no bits. A cell whose arithmetic the device lacks is skipped.
"""

import pytest

from energybench.runs.matrix import PAPER_MODELS

BITS = (20, 22, 23)
METHODS = (
    "baseline",
    "stego",
    "stego-once",
    "stego-fp32",
    *(f"stego-once@{bits}" for bits in BITS),
    *(f"stego-fp32@{bits}" for bits in BITS),
    "prune",
    "prune-once",
)
ARITHMETIC = ("baseline-tf32", "baseline-bf16", "baseline-default")


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS, gpu_methods=ARITHMETIC)
def test_controls(cell, energy_cell):
    """Fails when the accuracy drop against the baseline exceeds the tolerance."""
    energy_cell(cell)
