"""The paper's fine-tuning (arXiv 2506.01311): SGD, early stopping on the validation loss."""

import math
from dataclasses import replace

import torch
from torch import nn

from energybench.compression.base import Compression, trains_freely
from energybench.errors import CellError
from energybench.records.record import EpochRecord
from energybench.training.course import Course
from energybench.training.distributed.group import Group
from energybench.training.distributed.sharding import gathered
from energybench.training.evaluate import evaluate
from energybench.training.passes import Pass, sgd, train_pass
from energybench.training.plan import Finetuning


def finetune(model: nn.Module, compression: Compression, run: Finetuning) -> list[EpochRecord]:
    """Train `model` in place, holding `compression` after each step; return a record per epoch.

    The model ends with the weights of the epoch whose validation loss was lowest. Raises
    `CellError` when a loss is not finite, and for a compression that holds whole weights after each
    step where `run.shard` divides them.
    """
    if run.shard:
        require_free(compression)
        with run.group.sharded(model) as parts:
            return _finetune(parts, compression, run)
    with run.group.data_parallel(model) as network:
        return _finetune(model, compression, replace(run, forward=network or run.forward))


def _finetune(model: nn.Module, compression: Compression, run: Finetuning) -> list[EpochRecord]:
    torch.manual_seed(run.seed + run.group.rank)  # dropout and stochastic depth
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(run.device)
    optimizer = sgd(model, run.config)
    course = Course(model, compression, optimizer, run.config, run.device, run.epochs)
    run.resume(course)
    while not course.over:
        record = _one_epoch(len(course.epochs) + 1, model, compression, optimizer, run)
        course.add(record)
        run.watch(record)
        run.checkpoint(course)
    course.finish()
    return course.epochs


def _one_epoch(
    number: int,
    model: nn.Module,
    compression: Compression,
    optimizer: torch.optim.Optimizer,
    run: Finetuning,
) -> EpochRecord:
    with run.window() as whole:
        with run.window() as training:
            done = train_pass(model, compression, optimizer, run)
            train_loss, items = _over_all_ranks(done, run.group)
        _require_finite(train_loss, "training", number)
        with gathered(model):
            validation = evaluate(
                model, run.task, run.validation, run.device, run.precision, run.group
            )
        _require_finite(validation.loss, "validation", number)
    waited_s, peak_bytes = _largest_over_ranks(done, run)
    return EpochRecord(
        epoch=number,
        train_loss=train_loss,
        validation_loss=validation.loss,
        validation_metric=validation.value,
        steps=done.steps,
        items=items,
        duration_s=whole.reading.duration_s,
        joules=whole.reading.it_joules,
        items_per_s=items / training.reading.duration_s,
        peak_memory_bytes=peak_bytes,
        data_wait_share=min(1.0, waited_s / training.reading.duration_s),
        flags=list(whole.reading.flags),
        cpu=whole.reading.cpu,
    )


def require_free(compression: Compression) -> None:
    """Raise `CellError` unless training is free: what holds weights needs them whole."""
    if not trains_freely(compression):
        raise CellError(
            f"{compression.name} holds whole weights after each step, and shard divides them; "
            "leave shard out, or take a method that holds nothing, such as stego-once"
        )


def _over_all_ranks(done: Pass, group: Group) -> tuple[float, int]:
    """Return the mean loss per item, and the number of items, over all ranks."""
    losses, items = zip(*group.all_gather((done.loss.item(), done.items)), strict=True)
    return sum(losses) / sum(items), sum(items)


def _largest_over_ranks(done: Pass, run: Finetuning) -> tuple[float, int | None]:
    """Return the longest wait for data of any rank, seconds, and the largest CUDA memory, bytes.

    The memory is None on a CPU.
    """
    cuda = run.device.type == "cuda"
    own = done.feed.waited_s(), torch.cuda.max_memory_allocated(run.device) if cuda else 0
    waited, peaks = zip(*run.group.all_gather(own), strict=True)
    return max(waited), max(peaks) if cuda else None


def _require_finite(loss: float, which: str, epoch: int) -> None:
    if not math.isfinite(loss):
        raise CellError(
            f"the {which} loss of epoch {epoch} is {loss}; training diverged: "
            "try a larger batch_size or other weights"
        )
