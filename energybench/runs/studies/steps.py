"""Single training steps on synthetic images, for studies of what a step costs."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from energybench.compression.base import Compression, Score
from energybench.compression.compose import build
from energybench.config import Cell
from energybench.errors import UsageError
from energybench.records.metric import ACCURACY
from energybench.records.record import CompressionReport
from energybench.runs.session import Session
from energybench.training.calibrate import calibrate
from energybench.training.compiled import compiled
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.passes import sgd, train_pass
from energybench.training.plan import Finetuning, Forward
from energybench.workloads.images.networks import find_model
from energybench.workloads.images.task import ImageClassification

CLASSES = 1000
"""Classes of an untrained network, as in ImageNet."""


@dataclass(frozen=True)
class Prepared:
    """A compressed network that takes training steps on synthetic images."""

    model: nn.Module
    compression: Compression
    report: CompressionReport
    images: Tensor
    """(batch, 3, pixels, pixels), normally distributed."""
    labels: Tensor
    """(batch,) classes, int64."""
    precision: str
    """The cheapest arithmetic that holds the compressed weights exactly."""
    forward: Forward
    """The model in training steps: itself, or compiled where the run asks for that."""
    step: Callable[[], Tensor]
    """Takes one training step in that arithmetic and returns its loss, ().

    The step does all of its work: forward, backward, update, and holding the constraint. Its
    learning rate is 0, so the weights stay.
    """


def prepare(cell: Cell, session: Session, batch_size: int, image_size: int) -> Prepared:
    """Load and compress the network of `cell` on the run's own data, and choose its arithmetic.

    Raises `UsageError` for weights whose head does not fit the data, and for several ranks.
    """
    task = _image_task(session, cell)
    model, facts = session.pretrained(cell.model).load(session.device, cell.seed)
    if facts["head_replaced"]:
        raise UsageError(
            f"the weights of {cell.model} have other classes than {session.data.name}, and a "
            "search on an untrained head finds nothing; give fine-tuned ones by --energy-weights"
        )
    compression = build(cell.method)
    report = compression.compress(
        model, session.score(cell.model, cell.seed), session.config.tolerance
    )
    return _with_steps(session, task, model, compression, report, (batch_size, image_size))


def untrained(cell: Cell, session: Session, batch_size: int, image_size: int) -> Prepared:
    """The network of `cell` as it is built for ImageNet, for a method that compresses nothing.

    Raises `UsageError` for several ranks.
    """
    task = _image_task(session, cell)
    torch.manual_seed(cell.seed)
    model = find_model(cell.model).build(CLASSES, photographs=True).to(session.device)
    compression = build(cell.method)
    report = compression.compress(
        model, Score(lambda model: 0.0, ACCURACY), session.config.tolerance
    )
    return _with_steps(session, task, model, compression, report, (batch_size, image_size), CLASSES)


def _image_task(session: Session, cell: Cell) -> ImageClassification:
    if session.placement is not None:
        raise UsageError("single steps are measured in one process; leave out the other ranks")
    task = session.task(cell.model)
    if not isinstance(task, ImageClassification):
        raise UsageError(
            f"single steps are measured on synthetic images, not on {session.data.name}; "
            "name an image data set by --energy-dataset"
        )
    return task


def _with_steps(
    session: Session,
    task: ImageClassification,
    model: nn.Module,
    compression: Compression,
    report: CompressionReport,
    size: tuple[int, int],
    classes: int | None = None,
) -> Prepared:
    """`size`: images per batch, pixels per side. `classes`: those of the data if None."""
    batch_size, pixels = size
    images, labels = task.synthetic(batch_size, session.device, pixels, classes)
    run = Finetuning(
        task=task,
        train=list(itertools.repeat((images, labels), 4)),
        validation=[],
        config=replace(session.config.finetune, learning_rate=0.0),
        seed=0,
        device=session.device,
        precision=session.config.precision,
        window=partial(session.meters.window, session.synchronize),
        watch=lambda epoch: None,
        memory_format=session.config.memory_format,
    )
    candidates = session.precisions(compression)
    if session.config.compile:
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
