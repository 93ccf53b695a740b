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
from energybench.errors import UsageError
from energybench.record import CompressionReport
from energybench.training.calibrate import calibrate
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
    """Load and compress the network of `cell` on the run's own data, and choose its arithmetic.

    Raises `UsageError` for weights whose head does not fit the data.
    """
    model, facts = bench.pretrained(cell.model).load(bench.device, cell.seed)
    if facts["head_replaced"]:
        raise UsageError(
            f"the weights of {cell.model} have other classes than {bench.data.name}, and a search "
            "on an untrained head finds nothing; give fine-tuned ones by --energy-weights"
        )
    compression = build(cell.method)
    report = compression.compress(
        model, bench.score(cell.model, cell.seed), bench.config.tolerance_pp
    )
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
