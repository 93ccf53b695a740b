"""Find the bound of a training step, arithmetic or memory, and its joules per image and operation.

    pytest benchmarks/studies/test_intensity.py --benchmark-json=intensity.json

The device's ceilings are measured in the same session. Synthetic images of the right shape: 224
pixels (299 for inception_v3) in batches of 128 on a GPU, the run's own size in batches of 64 on a
CPU. Each method compresses as in a cell, on the run's own data and weights. The network then trains
at a learning rate of 0, which does the same work and leaves the weights. With `--energy-compile`
the step is compiled; its operations and bytes are counted in the same step without that.
"""

import math
from dataclasses import replace

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
from energybench.training.memory_format import memory_format

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
def test_intensity(cell, energy_session, benchmark, ceilings, step_size):
    """Measure the operations, bytes, seconds and joules of one step."""
    cuda = energy_session.device.type == "cuda"
    spec = MODELS.get(cell.model)
    pixels = spec.image_size if cuda else spec.small_image_size
    size = step_size(128, 5.0) if cuda else step_size(64, 3.0)
    plain = replace(energy_session, config=replace(energy_session.config, compile=False))
    prepared = prepare(cell, plain, size.batch, pixels)
    operations, moved = flops(prepared.step), bytes_moved(prepared.step)
    compiled = energy_session.config.compile
    if compiled:
        prepared = prepare(cell, energy_session, size.batch, pixels)

    def waited():
        prepared.step()
        energy_session.synchronize()

    benchmark.group = cell.model
    benchmark.pedantic(waited, rounds=5, warmup_rounds=2)
    found = per_call(
        prepared.step, energy_session.meters, energy_session.synchronize, at_least_s=size.window_s
    )
    assert math.isfinite(prepared.step().item()), "a step that computes NaN draws another power"
    flops_per_s, bytes_per_s = ceilings(prepared.precision)
    benchmark.extra_info |= to_extra_info(
        Intensity(
            model=cell.model,
            method=cell.method,
            seed=cell.seed,
            batch_size=size.batch,
            image_size=pixels,
            precision=prepared.precision,
            device_name=energy_session.facts().device_name,
            flops_per_step=operations,
            bytes_per_step=moved,
            seconds_per_step=found.reading.duration_s / found.calls,
            joules_per_step=found.it_joules,
            ceiling_flops_per_s=flops_per_s,
            ceiling_bytes_per_s=bytes_per_s,
            sources=found.reading.sources,
            flags=found.reading.flags,
            compression_rate=prepared.report.compression_rate,
            compiled=compiled,
            memory_format=memory_format(
                energy_session.config.memory_format, prepared.precision, energy_session.device
            ),
            settings=prepared.report.settings,
        )
    )
