"""Measure joules per image of a training step, for every model and method, on synthetic images.

    pytest benchmarks/test_step.py --benchmark-json=results/step-gpu.json

On a GPU: 224 pixels (299 for inception_v3), batches of 128, windows of at least 5 s. On a CPU it is
a rehearsal with small images and short windows. Each method compresses as in a cell, on the run's
own data and weights. The network then trains on synthetic images at a learning rate of 0, which
does the same work and leaves the weights. All cells take over half an hour; `-k resnet50` runs one
model.
"""

import math
from dataclasses import dataclass

import pytest

from energybench.energy.per_call import per_call
from energybench.registry import MODELS
from energybench.runs.matrix import PAPER_MODELS
from energybench.runs.studies.steps import prepare

METHODS = (
    "baseline",
    "baseline-tf32",
    "baseline-bf16",
    "stego",
    "prune",
    "prune-2to4",
    "prune-channels",
    "lowrank",
    "lowrank+stego",
)


@dataclass(frozen=True)
class Size:
    """The size of one measurement."""

    batch: int
    window_s: float
    photographs: bool


GPU = Size(batch=128, window_s=5.0, photographs=True)
REHEARSAL = Size(batch=16, window_s=0.5, photographs=False)


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS)
def test_step(cell, energy_session, benchmark):
    """Measure one step: forward, backward, update, and the holding of the constraint."""
    size = GPU if energy_session.device.type == "cuda" else REHEARSAL
    spec = MODELS.get(cell.model)
    pixels = spec.image_size if size.photographs else spec.small_image_size
    prepared = prepare(cell, energy_session, size.batch, pixels)
    benchmark.group = cell.model
    mean_s = timed(benchmark, prepared.step, energy_session)
    found = per_call(
        prepared.step,
        energy_session.meters,
        energy_session.synchronize,
        mean_s,
        at_least_s=size.window_s,
    )
    assert found.reading.duration_s >= size.window_s
    loss = prepared.step().item()
    assert math.isfinite(loss), "a step that computes NaN draws another power"
    joules = found.it_joules
    benchmark.extra_info |= {
        "joules_per_image": None if joules is None else joules / size.batch,
        "domains": {
            domain: None if value is None else value / size.batch
            for domain, value in found.joules.items()
        },
        "watts": found.reading.watts,
        "images_per_s": found.calls * size.batch / found.reading.duration_s,
        "steps": found.calls,
        "window_s": found.reading.duration_s,
        "sources": found.reading.sources,
        "flags": found.reading.flags,
        "pixels": pixels,
        "batch": size.batch,
        "precision": prepared.precision,
        "settings": prepared.report.settings,
        "compression_rate": prepared.report.compression_rate,
    }


def timed(benchmark, step, energy_session) -> float:
    """Time single synchronized steps with pytest-benchmark; return their mean in seconds."""

    def waited() -> None:
        step()
        energy_session.synchronize()

    benchmark.pedantic(waited, rounds=5, warmup_rounds=2)
    if benchmark.stats is None:
        pytest.skip("--benchmark-disable times nothing, so no energy is measured")
    return benchmark.stats.stats.mean
