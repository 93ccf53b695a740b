"""Measure joules per 1,000 images of each finalized model, at several batch sizes.

    pytest benchmarks/studies/test_inference.py --benchmark-json=inference.json

Synthetic images of the right shape: 224 pixels on a GPU, the run's own size on a CPU. The benchmark
times single answers at the largest batch.
"""

import pytest

from energybench.records.studies import Inference, to_extra_info
from energybench.registry import MODELS
from energybench.runs.matrix import PAPER_MODELS
from energybench.runs.studies.inference import answer, inference_points
from energybench.runs.studies.steps import prepare

METHODS = ("baseline", "baseline-bf16", "stego", "prune", "prune-channels", "lowrank")
BATCH_SIZES = (1, 8, 64)


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS)
def test_inference(cell, energy_session, benchmark):
    """Measure answers in windows of at least 5 s on a GPU, 2 s on a CPU."""
    cuda = energy_session.device.type == "cuda"
    spec = MODELS.get(cell.model)
    size = spec.image_size if cuda else spec.small_image_size
    prepared = prepare(cell, energy_session, max(BATCH_SIZES), size)
    points, found = inference_points(prepared, energy_session, BATCH_SIZES, 5.0 if cuda else 2.0)
    call = answer(prepared, max(BATCH_SIZES), energy_session.device)

    def waited():
        call()
        energy_session.synchronize()

    benchmark.group = cell.model
    benchmark.pedantic(waited, rounds=5, warmup_rounds=1)
    benchmark.extra_info |= to_extra_info(
        Inference(
            model=cell.model,
            method=cell.method,
            seed=cell.seed,
            image_size=size,
            precision=prepared.precision,
            device_name=energy_session.facts().device_name,
            points=points,
            sources=found[0].reading.sources,
            flags=sorted({flag for one in found for flag in one.reading.flags}),
            compression_rate=prepared.report.compression_rate,
        )
    )
