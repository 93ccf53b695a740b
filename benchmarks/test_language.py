"""A small language model, fine-tuned uncompressed and compressed three ways.

GPT-2's architecture with 2.0 million parameters is pretrained on first use on Python's language
reference, and fine-tuned on the source of Python's library. The paper (arXiv 2506.01311) leaves
open whether its result holds for language models.
"""

import pytest

METHODS = ("baseline", "baseline-again", "stego", "prune", "lowrank")
"""The paper's, and the baseline a second time: no saving below their distance means anything."""


@pytest.mark.energy_matrix(
    models=["gpt2-tiny"], methods=METHODS, options={"dataset": "text", "batch-size": 8}
)
def test_language(cell, energy_cell):
    """Fails when the drop of next-token accuracy against the baseline exceeds the tolerance."""
    energy_cell(cell)
