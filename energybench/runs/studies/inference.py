"""Energy and time of inference with a finalized network."""

from collections.abc import Callable, Sequence

import torch

from energybench.energy.per_call import PerCall, per_call
from energybench.records.studies import InferencePoint
from energybench.runs.session import Session
from energybench.runs.studies.steps import TrainingStep
from energybench.training.precision import arithmetic


def inference_points(
    prepared: TrainingStep, session: Session, batch_sizes: Sequence[int], window_s: float
) -> tuple[list[InferencePoint], list[PerCall]]:
    """Measure inference at each of `batch_sizes`, in windows of at least `window_s` seconds.

    The model is finalized first, and runs in its own arithmetic, in evaluation mode.
    """
    prepared.compression.finalize(prepared.model)
    prepared.model.eval()
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

    def call() -> object:
        with torch.inference_mode(), arithmetic(prepared.precision, device):
            return prepared.task.answer(prepared.model, batch)

    return call


def _point(batch_size: int, found: PerCall) -> InferencePoint:
    images = found.calls * batch_size
    joules = found.reading.it_joules
    return InferencePoint(
        batch_size=batch_size,
        seconds_per_1000_images=1000.0 * found.reading.duration_s / images,
        joules_per_1000_images=None if joules is None else 1000.0 * joules / images,
    )
