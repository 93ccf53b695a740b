"""The paper's table: nine networks, fine-tuned uncompressed and compressed three ways.

L. Mei, M. Stamp: Energy Considerations for Large Pretrained Neural Networks, arXiv 2506.01311.
"""

import pytest

from energybench.runs.matrix import PAPER_MODELS

METHODS = ("baseline", "baseline-again", "stego", "prune", "lowrank")
"""The paper's, and the baseline a second time: no saving below their distance means anything."""
ARITHMETIC = ("baseline-tf32", "baseline-bf16", "baseline-default")
"""What `stego` gains by its arithmetic alone, and the baseline of those who set none."""


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS, gpu_methods=ARITHMETIC)
def test_finetune(cell, energy_cell):
    """Fails when the accuracy drop against the baseline exceeds the tolerance."""
    energy_cell(cell)
