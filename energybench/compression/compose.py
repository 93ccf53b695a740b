"""Compression methods by name, alone or composed: "prune", "lowrank+prune+stego"."""

from collections.abc import Mapping, Sequence
from math import prod

from torch import Tensor, nn

from energybench.compression.base import (
    TRAINED,
    Compression,
    HasTrainingState,
    Score,
    notes_after_training,
    precisions_of,
    require_score,
    required_precision,
    trains_freely,
)
from energybench.records.metric import Metric
from energybench.records.record import CompressionReport
from energybench.registry import METHODS, base_name, given_setting, method_parts


def compress(
    model: nn.Module, method: str, score: Score, tolerance: float = 1.0
) -> tuple[Compression, CompressionReport]:
    """Compress `model` in place, as far as `tolerance` allows, by the method of that name.

    `score` measures the model on validation data, and `tolerance` is the largest drop allowed, in
    the unit of `score.metric` (for accuracy: percentage points). `method` is a registered name, or
    several joined by "+" (see `build`). While the model is trained further, call
    `compression.after_step(model)` after each optimizer step, and `compression.finalize(model)` at
    the end; the report says what was found.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from energybench.compression.base import Score
        >>> from energybench.records.metric import Metric
        >>> _ = torch.manual_seed(0)
        >>> model, inputs = nn.Linear(64, 1), torch.randn(256, 64)
        >>> with torch.no_grad():
        ...     targets = model(inputs)
        >>> def rmse(model):
        ...     with torch.no_grad():
        ...         return (model(inputs) - targets).square().mean().sqrt().item()
        >>> score = Score(rmse, Metric("rmse", higher_is_better=False, unit="", scale=1.0))
        >>> compression, report = compress(model, "prune", score, tolerance=0.05)
        >>> report.method, report.reference_score, report.score <= 0.05, report.no_effect
        ('prune', 0.0, True, False)

    Raises `UsageError` for an unknown method, `TypeError` for a score without a metric, and
    `CellError` for a model that the method cannot compress; the model is then as it was.
    """
    compression = build(method)
    return compression, compression.compress(model, score, tolerance)


def build(method: str) -> Compression:
    """Return the compression that `method` names: a registered method, or several joined by "+".

    A name with a setting, such as "stego@12" or "prune@0.5", applies that setting whatever its
    drop, and searches nothing. Within a stage, the method registered first is applied first:
    channels are removed before the rest of a layer is factorized. Raises `UsageError` for an
    unknown method, a wrong setting, a method named twice, or `baseline` in a composition.
    """
    known = METHODS.names()
    names = sorted(method_parts(method), key=lambda part: known.index(base_name(part)))
    parts = [_build(name) for name in names]
    if len(parts) == 1:
        return parts[0]
    return Composition(sorted(parts, key=lambda part: part.stage))


def _build(name: str) -> Compression:
    made: Compression = METHODS.get(base_name(name))(**given_setting(name))
    if "@" in name:
        made.name = name
    return made


class Composition:
    """Applies several compressions to one model, in the order of their stages.

    That order is structure, masks, bits, and what is trained. After a step the constraints are held
    in the reverse order: the mask comes last, because a zero has all its low bits clear, whereas
    clearing bits keeps no zero at zero. At the end, adapters are merged after all constraints are
    exact.
    """

    def __init__(self, parts: Sequence[Compression]) -> None:
        self.name = "+".join(part.name for part in parts)
        self.stage = parts[0].stage
        self._parts = tuple(parts)
        required = [required_precision(part) for part in parts]
        self.required_precision = next((name for name in required if name is not None), None)

    @property
    def trains_freely(self) -> bool:
        """Whether no part holds anything after a step."""
        return all(map(trains_freely, self._parts))

    def precisions(self) -> tuple[str, ...]:
        """Return those of the last part that has some: later parts leave its bits clear."""
        named = [precisions_of(part) for part in self._parts]
        return next((names for names in reversed(named) if names), ())

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Apply each part in turn, within the tolerance that the parts before it have left.

        The tolerance left is `tolerance` minus the drop so far, by `score.metric`; a part that
        improved the score lends nothing to the next. The report has the parts' settings under
        names such as `prune.fraction`; its compression rate is 1 - product of (1 - rate).
        """
        require_score(score)
        reports: list[CompressionReport] = []
        for part in self._parts:
            left = tolerance - max(0.0, _drop(score.metric, reports))
            least = min(tolerance, 0.0)  # a negative tolerance stays: nothing is within it
            reports.append(part.compress(model, score, max(least, left)))
        scores = _scores(reports)
        return CompressionReport(
            method=self.name,
            settings={
                f"{report.method}.{key}": value
                for report in reports
                for key, value in report.settings.items()
            },
            compression_rate=1.0 - prod(1.0 - report.compression_rate for report in reports),
            reference_score=scores[0] if scores else None,
            score=scores[-1] if scores else None,
            no_effect=all(report.no_effect for report in reports),
            parts=reports,
        )

    def training_state(self) -> dict[str, Tensor]:
        """Return the parts' tensors, by names such as "prune/0.weight"."""
        return {
            f"{part.name}/{key}": value
            for part in self._parts
            if isinstance(part, HasTrainingState)
            for key, value in part.training_state().items()
        }

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Give each part the tensors under its name."""
        for part in self._parts:
            if isinstance(part, HasTrainingState):
                start = f"{part.name}/"
                own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
                part.load_training_state(own)

    def after_training(self, model: nn.Module) -> list[str]:
        """Return the notes of every part."""
        return [note for part in self._parts for note in notes_after_training(part, model)]

    def after_step(self, model: nn.Module) -> None:
        """Hold every part's constraint after an optimizer step, in place."""
        for part in reversed(self._parts):
            part.after_step(model)

    def finalize(self, model: nn.Module) -> None:
        """Make the trained weights satisfy every part's constraint exactly, in place."""
        training = [part for part in self._parts if part.stage == TRAINED]
        constraints = [part for part in self._parts if part.stage != TRAINED]
        for part in [*reversed(constraints), *training]:
            part.finalize(model)


def _scores(reports: list[CompressionReport]) -> list[float]:
    """Return the score before the first part and after each, without parts that measured none."""
    measured = [(report.reference_score, report.score) for report in reports]
    known = [(before, after) for before, after in measured if before is not None]
    return [known[0][0], *(after for _, after in known if after is not None)] if known else []


def _drop(metric: Metric, reports: list[CompressionReport]) -> float:
    """Return the drop so far, in the metric's unit; negative for an improvement."""
    scores = _scores(reports)
    return metric.drop(scores[0], scores[-1]) if scores else 0.0
