"""Single training steps on synthetic batches, for studies of the cost of a step."""

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
from energybench.records.record import CompressionReport
from energybench.runs.session import Session
from energybench.training.calibrate import calibrate
from energybench.training.compiled import compiled
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.passes import sgd, train_pass
from energybench.training.plan import Finetuning, Forward
from energybench.workloads.base import Batch, PretrainedTask
from energybench.workloads.images.networks import find_model
from energybench.workloads.images.task import ImageClassification

CLASSES = 1000
"""Classes of an untrained network, as in ImageNet."""


@dataclass(frozen=True)
class TrainingStep:
    """A compressed network that takes training steps on one synthetic batch."""

    task: PretrainedTask
    model: nn.Module
    compression: Compression
    report: CompressionReport
    synthetic: Callable[[int], Batch]
    """Batch size -> a batch of random values on the device, in the shapes of this study."""
    batch: Batch
    """The batch that `step` trains on. Of images: (batch, 3, pixels, pixels), and int64 labels."""
    precision: str
    """The cheapest arithmetic that holds the compressed weights exactly."""
    forward: Forward
    """The model in training steps: itself, or compiled where the run asks for that."""
    step: Callable[[], Tensor]
    """Takes one training step in that arithmetic and returns its loss, ().

    The step does all of its work: forward, backward, update, and holding the constraint. Its
    learning rate is 0, so the weights stay.
    """


def prepare(
    cell: Cell, session: Session, batch_size: int, image_size: int | None = None
) -> TrainingStep:
    """Load and compress the network of `cell` on the run's own data, and choose its arithmetic.

    `image_size` is the pixels per side of synthetic images; None for the task's own shapes. Raises
    `UsageError` for weights whose head does not fit the data, for an image size where the data are
    no images, and for several ranks.
    """
    session = session.of_seed(cell.seed)
    task = _task(session, cell)
    model, facts = session.pretrained(cell.model).load(session.device, cell.seed)
    if facts["head_replaced"]:
        raise UsageError(
            f"the weights of {cell.model} have other classes than {session.data.name}, and a "
            "search on an untrained head finds nothing; give fine-tuned weights"
        )
    compression = build(cell.method)
    score = session.score(cell.model, cell.seed)
    report = compression.compress(model, score, session.config.tolerance)
    synthetic = _synthetic(task, session, image_size)
    return _step(session, task, model, compression, report, synthetic, batch_size)


def untrained(cell: Cell, session: Session, batch_size: int, image_size: int) -> TrainingStep:
    """Build the network of `cell` for ImageNet, for a method that compresses nothing.

    Raises `UsageError` where the data are no images, and for several ranks.
    """
    task = _task(session, cell)
    torch.manual_seed(cell.seed)
    model = find_model(cell.model).build(CLASSES, photographs=True).to(session.device)
    compression = build(cell.method)
    score = Score(lambda model: 0.0, task.metric)
    report = compression.compress(model, score, session.config.tolerance)
    synthetic = _synthetic(task, session, image_size, CLASSES)
    return _step(session, task, model, compression, report, synthetic, batch_size)


def _task(session: Session, cell: Cell) -> PretrainedTask:
    if session.placement is not None:
        raise UsageError("single steps are measured in one process; leave out the other ranks")
    return session.task(cell.model)


def _synthetic(
    task: PretrainedTask, session: Session, image_size: int | None, classes: int | None = None
) -> Callable[[int], Batch]:
    if image_size is None:
        return lambda batch_size: task.synthetic(batch_size, session.device)
    if not isinstance(task, ImageClassification):
        raise UsageError(f"{session.data.name} has no images, so it takes no image size")
    return lambda batch_size: task.synthetic(batch_size, session.device, image_size, classes)


def _step(
    session: Session,
    task: PretrainedTask,
    model: nn.Module,
    compression: Compression,
    report: CompressionReport,
    synthetic: Callable[[int], Batch],
    batch_size: int,
) -> TrainingStep:
    batch = synthetic(batch_size)
    run = Finetuning(
        task=task,
        train=list(itertools.repeat(batch, 4)),
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
    once = replace(run, train=[batch], precision=precision)
    one_pass = partial(train_pass, model, compression, sgd(model, run.config), once)
    return TrainingStep(
        task,
        model,
        compression,
        report,
        synthetic,
        batch,
        precision,
        model if run.forward is None else run.forward,
        lambda: one_pass().loss,
    )
