"""Measure training throughput, joules per image and FLOP utilisation of the nine networks.

    pytest benchmarks/test_throughput.py --benchmark-json=results/throughput-gpu.json
    energybench report results/throughput-gpu.json --markdown

Every arithmetic of the device is measured with and without compilation, beside timm's loop on the
same synthetic batch (`pip install 'energybench[peers]'`), and against the device's ceiling: its
fastest large matrix product in the same arithmetic. On a GPU: 224 pixels (299 for inception_v3),
batches of 128, windows of at least 5 s. On a CPU it is a rehearsal with small images and short
windows. Networks are untrained, because the work does not depend on the weights. cuDNN times its
algorithms and takes the fastest for both loops, as in timm's train script; the second loop would
otherwise inherit the choice of the first. Cells do not tune, because the first cell would pay for
the others. `-k resnet50` runs one model, `-k eager` leaves the compiler out.
"""

import math
from dataclasses import replace

import pytest

from energybench.energy.per_call import per_call
from energybench.registry import MODELS
from energybench.runs.matrix import PAPER_MODELS

METHODS = ("baseline", "baseline-tf32", "baseline-bf16")
"""One method per arithmetic."""
WARM_UP = 3
"""Steps before a window, in which both loops compile and tune."""


@pytest.fixture(scope="session")
def ceiling(energy_session):
    """Return a function: precision -> the device's ceiling in FLOP/s, measured once."""
    from energybench.runs.studies.intensity import peak_flops_per_s

    found = {}

    def of(precision):
        if precision not in found:
            found[precision] = peak_flops_per_s(
                precision, energy_session.device, energy_session.synchronize
            )
        return found[precision]

    return of


@pytest.fixture(autouse=True)
def _autotuning():
    from support.timm_loop import autotuned

    with autotuned():
        yield


@pytest.mark.energy_matrix(models=PAPER_MODELS, methods=METHODS)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_throughput(cell, compiled, energy_session, ceiling, benchmark, step_size):
    """Train on one batch that stays on the device, and right afterwards by timm's loop."""
    from energybench.errors import UsageError
    from energybench.records.studies import Throughput, to_extra_info
    from energybench.runs.studies.intensity import flops
    from energybench.runs.studies.steps import untrained
    from energybench.training.compiled import check_compiler
    from energybench.training.memory_format import memory_format

    cuda = energy_session.device.type == "cuda"
    spec = MODELS.get(cell.model)
    pixels = spec.image_size if cuda else spec.small_image_size
    size = step_size(128, 5.0) if cuda else step_size(16, 0.5)
    batch, window_s = size.batch, size.window_s
    try:
        if compiled:
            check_compiler(energy_session.device)
    except UsageError as error:
        pytest.skip(str(error))
    own = replace(energy_session, config=replace(energy_session.config, compile=compiled))
    prepared = untrained(cell, own, batch, pixels)
    layout = memory_format(own.config.memory_format, prepared.precision, own.device)
    benchmark.group = cell.model

    def waited():
        prepared.step()
        energy_session.synchronize()

    benchmark.pedantic(waited, rounds=5, warmup_rounds=2)
    ours = images_per_s, _, _ = measured(prepared.step, energy_session, batch, window_s)
    assert math.isfinite(prepared.step().item()), "a step that computes NaN draws another power"
    theirs = measured(timm_step(prepared, own, layout), energy_session, batch, window_s)
    benchmark.extra_info |= to_extra_info(
        Throughput(
            model=cell.model,
            precision=prepared.precision,
            compiled=compiled,
            memory_format=layout,
            batch_size=batch,
            image_size=pixels,
            device_name=energy_session.facts().device_name,
            images_per_s=images_per_s,
            joules_per_image=ours[1],
            flops_per_image=flops(lambda: _forward_and_backward(prepared)) / batch,
            ceiling_flops_per_s=ceiling(prepared.precision),
            timm_images_per_s=theirs[0],
            timm_joules_per_image=theirs[1],
            window_s=ours[2].duration_s,
            sources=ours[2].sources,
            flags=ours[2].flags,
        )
    )


def measured(step, energy_session, batch, window_s):
    """Return (images/s, joules per image, reading) of steps; three None where `step` is None."""
    if step is None:
        return None, None, None
    for _ in range(WARM_UP):
        step()
    found = per_call(step, energy_session.meters, energy_session.synchronize, at_least_s=window_s)
    joules = None if found.it_joules is None else found.it_joules / batch
    return found.calls * batch / found.reading.duration_s, joules, found.reading


def timm_step(prepared, energy_session, layout):
    """Return timm's step on a copy of the network and the same batch; None without timm."""
    import copy

    from support.timm_loop import timm_loop

    from energybench.training.precision import arithmetic

    config = replace(energy_session.config.finetune, learning_rate=0.0)
    model = copy.deepcopy(prepared.model)
    try:
        train = timm_loop(model, config, layout, energy_session.config.compile)
    except ImportError:
        return None
    once = [prepared.batch]
    return lambda: train(once, arithmetic(prepared.precision, energy_session.device))


def _forward_and_backward(prepared):
    prepared.model(prepared.batch[0]).sum().backward()
