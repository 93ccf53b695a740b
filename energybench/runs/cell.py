"""One cell, start to end: load, compress, fine-tune, finalize, evaluate, record."""

import gc
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace

import torch
from torch import nn

from energybench.compression.base import Baseline, Compression
from energybench.compression.compose import build
from energybench.config import Cell
from energybench.records.metric import ACCURACY
from energybench.records.record import EpochRecord, RunRecord, TestResult, Weights
from energybench.runs.bench import Bench
from energybench.runs.draft import Draft
from energybench.training.calibrate import calibrate
from energybench.training.compiled import compiled
from energybench.training.course import Course, best_epoch
from energybench.training.evaluate import evaluate
from energybench.training.finetune import finetune
from energybench.training.plan import Finetuning, Forward
from energybench.workloads.images.data.base import Split
from energybench.workloads.images.networks import ModelSpec
from energybench.workloads.images.weights.source import PretrainedModel

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Timer = Callable[[Callable[[], float]], object]
"""Calls what it is given exactly once; pytest-benchmark's `pedantic` is one.

What it calls returns the seconds that fine-tuning took: less than the call where the cell was
checkpointed, more where it went on from an earlier run's checkpoint.
"""


def run_cell(cell: Cell, bench: Bench, timer: Timer = lambda timed: timed()) -> RunRecord:
    """Run `cell` and return its record; `timer` calls the fine-tuning.

    A cell that cannot go on is recorded as failed, with what it measured until then. One that is
    interrupted is recorded so, `bench.finished` is told, and the interruption goes on.
    """
    draft = Draft(cell, bench)
    interruption = _attempt(draft, timer)
    if interruption is None:
        draft.settle()
    record = draft.record()
    if cell == cell.reference and interruption is None:
        bench.keep_baseline(cell, record)
    bench.finished(bench.key(cell), record)
    if draft.checkpoint is not None and interruption is None:
        draft.checkpoint.discard()
    _free_memory()
    if interruption is not None:
        raise interruption
    return record


def _attempt(draft: Draft, timer: Timer) -> BaseException | None:
    """Run the cell, and return what interrupted it; when it has ended, the model is not alive."""
    try:
        _run(draft, timer)
    except Exception as error:
        draft.fail(error)
    except BaseException as error:
        draft.interrupt(error)
        return error
    return None


def _run(draft: Draft, timer: Timer) -> None:
    cell, bench = draft.cell, draft.bench
    bench.prepare([cell.model])
    weights = bench.pretrained(cell.model)
    for split in _SPLITS:
        draft.batches(split)  # what a data set prepares once is no cell's energy
    if cell != cell.reference:
        draft.reference = bench.reference(cell, lambda baseline: run_cell(baseline, bench))

    with draft.watched(), draft.traced():
        _measure(draft, weights, timer)


def _measure(draft: Draft, weights: PretrainedModel, timer: Timer) -> None:
    bench = draft.bench
    with draft.phase("load"):
        model, facts = weights.load(bench.device, draft.cell.seed)
        model = bench.group.agreed(model, model)
        draft.lay_out(model)
        if facts["head_replaced"]:
            _fit_head(draft, model, weights.spec)
    draft.keep(
        weights=Weights(
            source=facts["source"],
            key=facts.get("key"),
            head_replaced=facts["head_replaced"],
            test_value=facts.get("test_accuracy"),
        )
    )

    compression = build(draft.cell.method)
    with draft.phase("compress"):
        report = compression.compress(model, draft.score, bench.config.tolerance)
        made = model, compression, report
        model, compression, report = bench.group.agreed(made, model)
    draft.keep(compression=report, parameters=_trainable_parameters(model))
    candidates = bench.precisions(compression)
    forward = _compiled(draft, model, compression, candidates)
    if not draft.find_saved(model, report):
        _choose_precision(draft, model, compression, candidates, forward)
    draft.lay_out(model)

    def timed() -> float:
        draft.guarded(lambda: _finetune(draft, model, compression, forward))
        return draft.phases["finetune"].duration_s if "finetune" in draft.phases else 0.0

    timer(timed)
    draft.raise_guarded()

    compression.finalize(model)
    with draft.phase("evaluate"):
        test = evaluate(model, draft.batches("test"), bench.device, draft.precision, bench.group)
    outcomes = " ".join(map(str, test.predictions.tolist()))
    draft.keep(test=TestResult(ACCURACY, test.accuracy, len(test.labels), outcomes))


def _fit_head(draft: Draft, model: nn.Module, spec: ModelSpec) -> None:
    """Train only the new head, by the same protocol: any search succeeds at an accuracy of chance.

    First the head, then everything: A. Kumar et al., arXiv 2202.10054.
    """
    model.requires_grad_(False)
    model.get_submodule(spec.head).requires_grad_(True)
    finetune(model, Baseline(), _unwatched(draft))
    model.requires_grad_(True)


def _compiled(
    draft: Draft, model: nn.Module, compression: Compression, candidates: Sequence[str]
) -> Forward | None:
    """The model compiled for the arithmetics it may be trained in, if that was asked for."""
    if not draft.bench.config.compile:
        return None
    with draft.phase("compile"):
        return compiled(model, compression, candidates, _unwatched(draft))


def _choose_precision(
    draft: Draft,
    model: nn.Module,
    compression: Compression,
    candidates: Sequence[str],
    forward: Forward | None,
) -> None:
    """Settle the arithmetic of fine-tuning: the run's, the method's, or the cheapest that is exact.

    Narrower is not always cheaper, so a few steps in each decide; they are a phase of their own.
    """
    if len(candidates) == 1:
        (draft.precision,) = candidates
        return
    with draft.phase("calibrate"):
        run = replace(_unwatched(draft), forward=forward)
        calibration = calibrate(model, compression, candidates, run)
    draft.precision = calibration.chosen
    draft.keep(calibration=asdict(calibration))


def _unwatched(draft: Draft) -> Finetuning:
    return draft.finetuning(draft.bench.config.finetune, lambda epoch: None)


def _finetune(
    draft: Draft, model: nn.Module, compression: Compression, forward: Forward | None
) -> None:
    cell, bench, config = draft.cell, draft.bench, draft.bench.config.finetune
    most = draft.equal_epochs or config.max_epochs
    with (
        bench.progress.bar(f"{cell.model} {cell.method}", most) as step,
        ExitStack() as measured,
    ):

        def show(epoch: EpochRecord) -> None:
            watts = "" if epoch.joules is None else f", {epoch.joules / epoch.duration_s:.0f} W"
            step(f"loss {epoch.train_loss:.3f}, validation {epoch.validation_loss:.3f}{watts}")

        def watch(epoch: EpochRecord) -> None:
            draft.epochs.append(epoch)
            show(epoch)

        def save(course: Course) -> None:
            measured.close()
            draft.save(course)
            measured.enter_context(draft.phase("finetune"))

        for epoch in draft.epochs:  # of an earlier run
            show(epoch)
        run = replace(
            draft.finetuning(config, watch),
            forward=forward,
            epochs=draft.equal_epochs,
            resume=draft.resume,
        )
        if draft.checkpoint is not None:
            run = replace(run, checkpoint=save)
        measured.enter_context(draft.phase("finetune"))
        finetune(model, compression, run)
    draft.keep(best_epoch=best_epoch(draft.epochs))


def _trainable_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_initialized():
        with suppress(RuntimeError):  # a device that has failed has nothing to give back
            torch.cuda.empty_cache()
