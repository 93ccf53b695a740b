"""Measure joules per answer of each finalized model, at several batch sizes.

    pytest benchmarks/studies/test_inference.py --benchmark-json=inference.json
    pytest benchmarks/studies/test_inference.py --energy-models=gpt2-tiny --energy-dataset=text

Images are synthetic and of the right shape: 224 pixels on a GPU, the run's own size on a CPU. A
language model answers random prompts; reading a prompt (prefill), writing the answer (decoding) and
both together are measured apart. The benchmark times single answers at the largest batch.
"""

import pytest

from energybench.records.studies import to_extra_info
from energybench.registry import MODELS
from energybench.runs.matrix import PAPER_MODELS
from energybench.runs.studies.inference import (
    Lengths,
    answer,
    generation,
    inference,
    written_answer,
)
from energybench.runs.studies.steps import prepare
from energybench.workloads.answers import Writes

METHODS = ("baseline", "baseline-bf16", "stego", "prune", "prune-channels", "lowrank")
BATCH_SIZES = (1, 8, 64)
PROMPTS = (1, 4, 16)
"""Batch sizes of language models on a CPU; on a GPU they are `BATCH_SIZES`."""
LENGTHS = Lengths(prompt=128, answer=64)


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS)
def test_inference(cell, energy_session, benchmark):
    """Measure answers in windows of at least 5 s on a GPU, 2 s on a CPU."""
    device, cuda = energy_session.device, energy_session.device.type == "cuda"
    seconds = 5.0 if cuda else 2.0
    if isinstance(energy_session.task(cell.model), Writes):
        sizes = BATCH_SIZES if cuda else PROMPTS
        prepared = prepare(cell, energy_session, max(sizes))
        found = generation(cell, prepared, energy_session, sizes, seconds, LENGTHS)
        call = written_answer(prepared, max(sizes), device, LENGTHS)
    else:
        spec = MODELS.get(cell.model)
        pixels = spec.image_size if cuda else spec.small_image_size
        prepared = prepare(cell, energy_session, max(BATCH_SIZES), pixels)
        found = inference(cell, prepared, energy_session, BATCH_SIZES, seconds, pixels)
        call = answer(prepared, max(BATCH_SIZES), device)

    def waited():
        call()
        energy_session.synchronize()

    benchmark.group = cell.model
    benchmark.pedantic(waited, rounds=5, warmup_rounds=1)
    benchmark.extra_info |= to_extra_info(found)
