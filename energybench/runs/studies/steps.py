"""Single training steps on synthetic images, for studies of what a step costs."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from energybench.compression.base import Compression
from energybench.compression.compose import build
from energybench.config import Cell
from energybench.errors import UsageError
from energybench.records.record import CompressionReport
from energybench.runs.bench import Bench
from energybench.training.calibrate import calibrate
from energybench.training.compiled import compiled
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.passes import sgd, train_pass
from energybench.training.plan import Finetuning, Forward
from energybench.workloads.images.networks import find_model
from energybench.workloads.images.task import ImageClassification

CLASSES = 1000
"""Of an untrained network: ImageNet's."""


@dataclass(frozen=True)
class Prepared:
    """A network and its method, with synthetic images to train on."""

    model: nn.Module
    compression: Compression
    report: CompressionReport
    images: Tensor
    """Batch x 3 x pixels x pixels, normally distributed."""
    labels: Tensor
    """Batch classes, int64."""
    precision: str
    """The cheapest arithmetic that holds the compressed weights exactly."""
    forward: Forward
    """The model in training steps: itself, or compiled where the run asks for that."""
    step: Callable[[], Tensor]
    """Takes one training step in that arithmetic at a learning rate of 0, and returns its loss.

    Forward, backward, update, and what holds the method's constraint: all the work of a step, and
    the weights stay.
    """


def prepare(cell: Cell, bench: Bench, batch_size: int, image_size: int) -> Prepared:
    """Load and compress the network of `cell` on the run's own data, and choose its arithmetic.

    Raises `UsageError` for weights whose head does not fit the data, and for several ranks.
    """
    _check_alone(bench)
    task = _image_task(bench, cell)
    model, facts = bench.pretrained(cell.model).load(bench.device, cell.seed)
    if facts["head_replaced"]:
        raise UsageError(
            f"the weights of {cell.model} have other classes than {bench.data.name}, and a search "
            "on an untrained head finds nothing; give fine-tuned ones by --energy-weights"
        )
    compression = build(cell.method)
    report = compression.compress(model, bench.score(cell.model, cell.seed), bench.config.tolerance)
    return _with_steps(bench, task, model, compression, report, (batch_size, image_size))


def untrained(cell: Cell, bench: Bench, batch_size: int, image_size: int) -> Prepared:
    """The network of `cell` as it is built for ImageNet, for a method that compresses nothing.

    Raises `UsageError` for several ranks.
    """
    _check_alone(bench)
    task = _image_task(bench, cell)
    torch.manual_seed(cell.seed)
    model = find_model(cell.model).build(CLASSES, photographs=True).to(bench.device)
    compression = build(cell.method)
    report = compression.compress(model, lambda model: 0.0, bench.config.tolerance)
    return _with_steps(bench, task, model, compression, report, (batch_size, image_size), CLASSES)


def _image_task(bench: Bench, cell: Cell) -> ImageClassification:
    """The task of `cell`; raises `UsageError` if it is not image classification."""
    task = bench.task(cell.model)
    if not isinstance(task, ImageClassification):
        raise UsageError(
            f"single steps are measured on synthetic images, not on {bench.data.name}; "
            "name an image data set by --energy-dataset"
        )
    return task


def _check_alone(bench: Bench) -> None:
    if bench.layout is not None:
        raise UsageError("single steps are measured in one process; leave out the other ranks")


def _with_steps(
    bench: Bench,
    task: ImageClassification,
    model: nn.Module,
    compression: Compression,
    report: CompressionReport,
    size: tuple[int, int],
    classes: int | None = None,
) -> Prepared:
    """`size`: images per batch, pixels per side. `classes`: those of the data if None."""
    batch_size, pixels = size
    images, labels = task.synthetic(batch_size, bench.device, pixels, classes)
    run = Finetuning(
        task=task,
        train=list(itertools.repeat((images, labels), 4)),
        validation=[],
        config=replace(bench.config.finetune, learning_rate=0.0),
        seed=0,
        device=bench.device,
        precision=bench.config.precision,
        window=partial(bench.meters.window, bench.synchronize),
        watch=lambda epoch: None,
        memory_format=bench.config.memory_format,
    )
    candidates = bench.precisions(compression)
    if bench.config.compile:
        run = replace(run, forward=compiled(model, compression, candidates, run))
    precision = calibrate(model, compression, candidates, run).chosen
    lay_out(model.parameters(), memory_format(run.memory_format, precision, run.device))
    once = replace(run, train=[(images, labels)], precision=precision)
    one_pass = partial(train_pass, model, compression, sgd(model, run.config), once)
    return Prepared(
        model,
        compression,
        report,
        images,
        labels,
        precision,
        model if run.forward is None else run.forward,
        lambda: one_pass().loss,
    )
