"""Joules per image of one training step, for every model and method, on synthetic images.

    pytest benchmarks/test_step.py --benchmark-json=results/step-gpu.json

On a GPU: 224 pixels (299 for inception_v3), batches of 128, windows of at least 5 s. On a CPU it is
a rehearsal with small images and short windows. Each method compresses as in a cell, on the run's
own data and weights; then the network trains on synthetic images, at a learning rate of 0: the work
is the same and the weights stay. All cells take over half an hour; `-k resnet50` takes one model.
"""

import itertools
import math
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from energybench.bench import Bench
from energybench.compression.base import Compression
from energybench.compression.compose import build
from energybench.meters.per_call import per_call
from energybench.registry import MODELS as REGISTERED
from energybench.training.calibrate import calibrate
from energybench.training.evaluate import evaluate
from energybench.training.finetune import Finetuning, sgd, train_pass

MODELS = (
    "alexnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "inception_v3",
    "densenet121",
    "vgg16",
    "convnext_base",
)
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
    """How much is measured."""

    batch: int
    window_s: float
    photographs: bool


GPU = Size(batch=128, window_s=5.0, photographs=True)
REHEARSAL = Size(batch=16, window_s=0.5, photographs=False)


@pytest.mark.energy_matrix(models=MODELS, methods=METHODS)
def test_step(cell, bench, benchmark):
    """One step: forward, backward, update, and what holds the method's constraint."""
    size = GPU if bench.device.type == "cuda" else REHEARSAL
    spec = REGISTERED.get(cell.model)
    pixels = spec.image_size if size.photographs else spec.small_image_size
    model, _ = bench.pretrained(cell.model).load(bench.device, cell.seed)
    compression = build(cell.method)
    report = compression.compress(model, accuracy(cell, bench), bench.config.tolerance_pp)

    images = torch.randn(size.batch, 3, pixels, pixels, device=bench.device)
    labels = torch.randint(bench.data.classes, (size.batch,), device=bench.device)
    step, precision = one_step(model, compression, images, labels, bench)
    benchmark.group = cell.model
    mean_s = timed(benchmark, step, bench)
    found = per_call(step, bench.meters, bench.synchronize, mean_s, at_least_s=size.window_s)
    total_loss, *_ = step()
    assert math.isfinite(total_loss.item()), "what computes NaN draws another power"
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
        "precision": precision,
        "settings": report.settings,
        "compression_rate": report.compression_rate,
    }


def accuracy(cell, bench):
    """The score of a cell's search: validation accuracy on the run's own data."""
    config = bench.config
    batches = bench.data.batches(
        "validation", bench.image_size(cell.model), config.finetune.batch_size, cell.seed
    )
    return lambda model: evaluate(model, batches, bench.device, config.precision).accuracy


def one_step(
    model: nn.Module, compression: Compression, images: Tensor, labels: Tensor, bench: Bench
):
    """A function that trains one step in the cheapest exact arithmetic, and that arithmetic."""
    run = Finetuning(
        train=list(itertools.repeat((images, labels), 4)),
        validation=[],
        config=replace(bench.config.finetune, learning_rate=0.0),
        seed=0,
        device=bench.device,
        precision=bench.config.precision,
        window=partial(bench.meters.window, bench.synchronize),
        watch=lambda epoch: None,
    )
    chosen = calibrate(model, compression, bench.precisions(compression), run).chosen
    once = replace(run, train=[(images, labels)], precision=chosen)
    return partial(train_pass, model, compression, sgd(model, run.config), once), chosen


def timed(benchmark, step, bench) -> float:
    """Time single steps with pytest-benchmark, the device waited for; the mean in seconds."""

    def waited() -> None:
        step()
        bench.synchronize()

    benchmark.pedantic(waited, rounds=5, warmup_rounds=2)
    if benchmark.stats is None:
        pytest.skip("nothing is timed, so nothing is measured")
    return benchmark.stats.stats.mean
