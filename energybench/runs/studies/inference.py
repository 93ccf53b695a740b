"""Energy and time of inference with a finalized network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from energybench.config import Cell
from energybench.energy.per_call import PerCall, per_call
from energybench.errors import UsageError
from energybench.records.studies import (
    Generation,
    GenerationPoint,
    Inference,
    InferencePoint,
)
from energybench.runs.session import Session
from energybench.runs.studies.steps import TrainingStep
from energybench.training.precision import arithmetic
from energybench.workloads.answers import Answers, Writes

T = TypeVar("T")


@dataclass(frozen=True)
class Lengths:
    """Tokens of a prompt and of its answer."""

    prompt: int
    answer: int
    """At least 2: the prefill gives the first token."""


def inference(
    cell: Cell,
    prepared: TrainingStep,
    session: Session,
    batch_sizes: Sequence[int],
    window_s: float,
    image_size: int,
) -> Inference:
    """Measure the answers of `cell`'s network to images of `image_size` pixels per side.

    See `inference_points`.
    """
    points, found = inference_points(prepared, session, batch_sizes, window_s)
    return Inference(
        model=cell.model,
        method=cell.method,
        seed=cell.seed,
        image_size=image_size,
        precision=prepared.precision,
        device_name=session.facts().device_name,
        points=points,
        sources=found[0].reading.sources,
        flags=_flags(found),
        compression_rate=prepared.report.compression_rate,
    )


def inference_points(
    prepared: TrainingStep, session: Session, batch_sizes: Sequence[int], window_s: float
) -> tuple[list[InferencePoint], list[PerCall]]:
    """Measure inference at each of `batch_sizes`, in windows of at least `window_s` seconds.

    The model is finalized first, and runs in its own arithmetic, in evaluation mode.
    """
    _finalize(prepared)
    found = []
    for batch_size in batch_sizes:
        call = answer(prepared, batch_size, session.device)
        call()
        found.append(per_call(call, session.meters, session.synchronize, at_least_s=window_s))
    points = [_point(batch_size, one) for batch_size, one in zip(batch_sizes, found, strict=True)]
    return points, found


def answer(prepared: TrainingStep, batch_size: int, device: torch.device) -> Callable[[], object]:
    """Return a function that answers one synthetic batch, in evaluation mode."""
    batch = prepared.synthetic(batch_size)
    return _in_arithmetic(prepared, device, lambda: prepared.task.answer(prepared.model, batch))


def generation(
    cell: Cell,
    prepared: TrainingStep,
    session: Session,
    batch_sizes: Sequence[int],
    window_s: float,
    lengths: Lengths,
) -> Generation:
    """Measure prefill, decoding and whole answers of `cell`'s language model, each by itself.

    Each has a window of at least `window_s` seconds at each of `batch_sizes`, which count prompts,
    after a call that warms up. The model is finalized first, and runs in its own arithmetic, in
    evaluation mode. Raises `UsageError` for a task that writes no answers, and as
    `Writes.answers` does.
    """
    _finalize(prepared)
    points, found = [], []
    for batch_size in batch_sizes:
        point, readings = _generation_point(prepared, session, batch_size, window_s, lengths)
        points.append(point)
        found += readings
    return Generation(
        model=cell.model,
        method=cell.method,
        seed=cell.seed,
        prompt_length=lengths.prompt,
        answer_length=lengths.answer,
        precision=prepared.precision,
        device_name=session.facts().device_name,
        points=points,
        sources=found[0].reading.sources,
        flags=_flags(found),
        compression_rate=prepared.report.compression_rate,
    )


def written_answer(
    prepared: TrainingStep, batch_size: int, device: torch.device, lengths: Lengths
) -> Callable[[], object]:
    """Return a function that answers one batch of random prompts, in evaluation mode."""
    answers = _answers(prepared, batch_size, device, lengths)
    return _in_arithmetic(prepared, device, lambda: answers.decode(answers.prefill()))


def _generation_point(
    prepared: TrainingStep, session: Session, prompts: int, window_s: float, lengths: Lengths
) -> tuple[GenerationPoint, list[PerCall]]:
    answers = _answers(prepared, prompts, session.device, lengths)

    def measured(call: Callable[[], object]) -> PerCall:
        work = _in_arithmetic(prepared, session.device, call)
        work()
        return per_call(work, session.meters, session.synchronize, at_least_s=window_s)

    start = _in_arithmetic(prepared, session.device, answers.prefill)()
    prefill = measured(answers.prefill)
    decode = measured(lambda: answers.decode(start))
    whole = measured(lambda: answers.decode(answers.prefill()))
    read, written = prompts * lengths.prompt, prompts * (lengths.answer - 1)
    point = GenerationPoint(
        batch_size=prompts,
        prefill_seconds_per_1000_tokens=1000.0 * _seconds(prefill, read),
        prefill_joules_per_1000_tokens=_joules(prefill, read, 1000.0),
        decode_seconds_per_1000_tokens=1000.0 * _seconds(decode, written),
        decode_joules_per_1000_tokens=_joules(decode, written, 1000.0),
        seconds_per_answer=_seconds(whole, prompts),
        joules_per_answer=_joules(whole, prompts),
    )
    return point, [prefill, decode, whole]


def _answers(
    prepared: TrainingStep, prompts: int, device: torch.device, lengths: Lengths
) -> Answers:
    task = prepared.task
    if not isinstance(task, Writes):
        raise UsageError(f"a network of {task.name} writes no answers; name a language model")
    return task.answers(prepared.model, prompts, lengths.prompt, lengths.answer, device)


def _finalize(prepared: TrainingStep) -> None:
    prepared.compression.finalize(prepared.model)
    prepared.model.eval()


def _in_arithmetic(
    prepared: TrainingStep, device: torch.device, work: Callable[[], T]
) -> Callable[[], T]:
    def call() -> T:
        with torch.inference_mode(), arithmetic(prepared.precision, device):
            return work()

    return call


def _seconds(found: PerCall, count: int) -> float:
    """Return seconds per item, of which each call has `count`."""
    return found.reading.duration_s / (found.calls * count)


def _joules(found: PerCall, count: int, scale: float = 1.0) -> float | None:
    """Return joules per `scale` items, of which each call has `count`; None where not known."""
    joules = found.it_joules
    return None if joules is None else scale * joules / count


def _flags(found: Sequence[PerCall]) -> list[str]:
    return sorted({flag for one in found for flag in one.reading.flags})


def _point(batch_size: int, found: PerCall) -> InferencePoint:
    return InferencePoint(
        batch_size=batch_size,
        seconds_per_1000_images=1000.0 * _seconds(found, batch_size),
        joules_per_1000_images=_joules(found, batch_size, 1000.0),
    )
