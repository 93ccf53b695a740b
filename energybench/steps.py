"""Single steps of a compressed network, for studies of what a step costs."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from energybench.bench import Bench
from energybench.compression.base import Compression
from energybench.compression.compose import build
from energybench.config import Cell
from energybench.record import CompressionReport
from energybench.training.calibrate import calibrate
from energybench.training.evaluate import evaluate
from energybench.training.finetune import Finetuning, sgd, train_pass


@dataclass(frozen=True)
class Prepared:
    """A pretrained network, compressed as in a cell, with synthetic images to train on."""

    model: nn.Module
    compression: Compression
    report: CompressionReport
    images: Tensor
    """Batch x 3 x pixels x pixels, normally distributed."""
    precision: str
    """The cheapest arithmetic that holds the compressed weights exactly."""
    step: Callable[[], Tensor]
    """Takes one training step in that arithmetic at a learning rate of 0, and returns its loss.

    Forward, backward, update, and what holds the method's constraint: all the work of a step, and
    the weights stay.
    """


def prepare(cell: Cell, bench: Bench, batch_size: int, image_size: int) -> Prepared:
    """Load and compress the network of `cell` on the run's own data, and choose its arithmetic."""
    model, _ = bench.pretrained(cell.model).load(bench.device, cell.seed)
    compression = build(cell.method)
    report = compression.compress(model, _accuracy(cell, bench), bench.config.tolerance_pp)
    shape = (batch_size, 3, image_size, image_size)
    images = torch.randn(*shape, device=bench.device)
    labels = torch.randint(bench.data.classes, (batch_size,), device=bench.device)
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
    precision = calibrate(model, compression, bench.precisions(compression), run).chosen
    once = replace(run, train=[(images, labels)], precision=precision)
    one_pass = partial(train_pass, model, compression, sgd(model, run.config), once)
    return Prepared(model, compression, report, images, precision, lambda: one_pass()[0])


def _accuracy(cell: Cell, bench: Bench) -> Callable[[nn.Module], float]:
    """The score of a cell's search: validation accuracy on the run's own data."""
    config = bench.config
    batches = bench.data.batches(
        "validation", bench.image_size(cell.model), config.finetune.batch_size, cell.seed
    )
    return lambda model: evaluate(model, batches, bench.device, config.precision).accuracy
