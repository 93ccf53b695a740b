"""Find the bound of a training step, arithmetic or memory, and the joules of an operation.

    pytest benchmarks/studies/test_intensity.py --benchmark-json=intensity.json

The device's ceilings are measured in the same session. Synthetic images of the right shape: 224
pixels in batches of 128 on a GPU, the run's own size in batches of 64 on a CPU.
"""

import pytest

from energybench.energy.per_call import per_call
from energybench.records.studies import Intensity, to_extra_info
from energybench.registry import MODELS
from energybench.runs.matrix import PAPER_MODELS
from energybench.runs.studies.intensity import (
    bytes_moved,
    flops,
    peak_bytes_per_s,
    peak_flops_per_s,
)
from energybench.runs.studies.steps import prepare

METHODS = (
    "baseline",
    "baseline-bf16",
    "stego",
    "prune",
    "prune-channels",
    "lowrank",
    "lowrank+stego",
)


@pytest.fixture(scope="session")
def ceilings(energy_session):
    """Return a function: precision -> the device's ceilings (FLOP/s, bytes/s), measured once."""
    found = {}
    bytes_per_s = peak_bytes_per_s(energy_session.device, energy_session.synchronize)

    def ceiling(precision):
        if precision not in found:
            found[precision] = peak_flops_per_s(
                precision, energy_session.device, energy_session.synchronize
            )
        return found[precision], bytes_per_s

    return ceiling


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS)
def test_intensity(cell, energy_session, benchmark, ceilings):
    """Measure the operations, bytes, seconds and joules of one step."""
    cuda = energy_session.device.type == "cuda"
    spec = MODELS.get(cell.model)
    size = spec.image_size if cuda else spec.small_image_size
    batch_size = 128 if cuda else 64
    prepared = prepare(cell, energy_session, batch_size, size)

    def waited():
        prepared.step()
        energy_session.synchronize()

    benchmark.group = cell.model
    benchmark.pedantic(waited, rounds=5, warmup_rounds=2)
    window_s = 5.0 if cuda else 3.0
    found = per_call(
        prepared.step, energy_session.meters, energy_session.synchronize, at_least_s=window_s
    )
    flops_per_s, bytes_per_s = ceilings(prepared.precision)
    benchmark.extra_info |= to_extra_info(
        Intensity(
            model=cell.model,
            method=cell.method,
            seed=cell.seed,
            batch_size=batch_size,
            image_size=size,
            precision=prepared.precision,
            device_name=energy_session.facts().device_name,
            flops_per_step=flops(prepared.step),
            bytes_per_step=bytes_moved(prepared.step),
            seconds_per_step=found.reading.duration_s / found.calls,
            joules_per_step=found.it_joules,
            ceiling_flops_per_s=flops_per_s,
            ceiling_bytes_per_s=bytes_per_s,
            sources=found.reading.sources,
            flags=found.reading.flags,
            compression_rate=prepared.report.compression_rate,
        )
    )
