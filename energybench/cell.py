"""One cell, start to end: load, compress, fine-tune, finalize, evaluate, record."""

import gc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace

import torch
from torch import nn

from energybench.bench import Bench
from energybench.compression.base import Baseline, Compression
from energybench.compression.compose import build
from energybench.config import Cell
from energybench.data.base import Split
from energybench.draft import Draft
from energybench.loading import PretrainedModel
from energybench.models.zoo import ModelSpec
from energybench.record import EpochRecord, HeldOutTest, RunRecord
from energybench.training.calibrate import calibrate
from energybench.training.evaluate import evaluate
from energybench.training.finetune import best_epoch, finetune

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Timer = Callable[[Callable[[], None]], None]
"""Calls what it is given exactly once; pytest-benchmark's `pedantic` is one."""


def run_cell(cell: Cell, bench: Bench, timer: Timer = lambda timed: timed()) -> RunRecord:
    """Run `cell` and return its record; `timer` calls the fine-tuning.

    A cell that cannot go on is recorded as failed, with what it measured until then. One that is
    interrupted is recorded so, `bench.finished` is told, and the interruption goes on.
    """
    record, interruption = _record(cell, bench, timer)
    if cell == cell.reference and interruption is None:
        bench.keep_baseline(cell, record)
    bench.finished(bench.key(cell), record)
    _free_memory()
    if interruption is not None:
        raise interruption
    return record


def _record(cell: Cell, bench: Bench, timer: Timer) -> tuple[RunRecord, BaseException | None]:
    """The record, and what interrupted the cell; of one that ended, nothing else is alive then."""
    draft = Draft(cell, bench)
    interruption: BaseException | None = None
    try:
        _run(draft, timer)
    except Exception as error:
        draft.fail(error)
    except BaseException as error:
        draft.interrupt(error)
        interruption = error
    return draft.record(), interruption


def _run(draft: Draft, timer: Timer) -> None:
    cell, bench = draft.cell, draft.bench
    weights = bench.pretrained(cell.model)
    for split in _SPLITS:
        draft.batches(split)  # what a data set prepares once is no cell's energy
    if cell != cell.reference:
        draft.reference = bench.reference(cell, lambda baseline: run_cell(baseline, bench))

    with draft.traced():
        _measure(draft, weights, timer)


def _measure(draft: Draft, weights: PretrainedModel, timer: Timer) -> None:
    bench = draft.bench
    with draft.phase("load"):
        model, facts = weights.load(bench.device, draft.cell.seed)
        if facts["head_replaced"]:
            _fit_head(draft, model, weights.spec)
    draft.keep(weights=facts)

    compression = build(draft.cell.method)
    with draft.phase("compress"):
        report = compression.compress(model, draft.score, bench.config.tolerance_pp)
    draft.keep(compression=report, parameters=_trainable_parameters(model))
    _choose_precision(draft, model, compression)

    timer(lambda: draft.guarded(lambda: _finetune(draft, model, compression)))
    draft.raise_guarded()

    compression.finalize(model)
    with draft.phase("evaluate"):
        test = evaluate(model, draft.batches("test"), bench.device, draft.precision)
    predictions = " ".join(map(str, test.predictions.tolist()))
    draft.keep(test=HeldOutTest(test.accuracy, test.correct, len(test.labels), predictions))


def _fit_head(draft: Draft, model: nn.Module, spec: ModelSpec) -> None:
    """Train only the new head, by the same protocol: any search succeeds at an accuracy of chance.

    First the head, then everything: A. Kumar et al., arXiv 2202.10054.
    """
    model.requires_grad_(False)
    model.get_submodule(spec.head).requires_grad_(True)
    finetune(model, Baseline(), draft.finetuning(draft.bench.config.finetune, lambda epoch: None))
    model.requires_grad_(True)


def _choose_precision(draft: Draft, model: nn.Module, compression: Compression) -> None:
    """Settle the arithmetic of fine-tuning: the run's, the method's, or the cheapest that is exact.

    Narrower is not always cheaper, so a few steps in each decide; they are a phase of their own.
    """
    bench = draft.bench
    candidates = bench.precisions(compression)
    if len(candidates) == 1:
        (draft.precision,) = candidates
        return
    with draft.phase("calibrate"):
        training = draft.finetuning(bench.config.finetune, lambda epoch: None)
        calibration = calibrate(model, compression, candidates, training)
    draft.precision = calibration.chosen
    draft.keep(calibration=asdict(calibration))


def _finetune(draft: Draft, model: nn.Module, compression: Compression) -> None:
    cell, bench, config = draft.cell, draft.bench, draft.bench.config.finetune
    most = draft.equal_epochs or config.max_epochs
    with (
        bench.progress.bar(f"{cell.model} {cell.method}", most) as step,
        draft.phase("finetune"),
    ):

        def watch(epoch: EpochRecord) -> None:
            draft.epochs.append(epoch)
            watts = "" if epoch.joules is None else f", {epoch.joules / epoch.duration_s:.0f} W"
            step(f"loss {epoch.train_loss:.3f}, validation {epoch.validation_loss:.3f}{watts}")

        run = replace(draft.finetuning(config, watch), epochs=draft.equal_epochs)
        finetune(model, compression, run)
    draft.keep(best_epoch=best_epoch(draft.epochs))


def _trainable_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_initialized():
        with suppress(RuntimeError):  # a device that has failed has nothing to give back
            torch.cuda.empty_cache()
