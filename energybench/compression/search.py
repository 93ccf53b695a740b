"""The search that every compression uses: the strongest setting whose drop is within tolerance.

Accuracies on validation images are not a tidy function of a setting: one that is beyond the
tolerance may have a stronger one within it, by luck of a few images. The strongest setting here is
the last before the first that is beyond the tolerance, so that every weaker one tried is within it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from energybench.compression.base import Score
from energybench.errors import CellError
from energybench.records.metric import ROUNDING
from energybench.records.record import CompressionReport


class Trial(Protocol):
    """A model that can be put into any setting, and back."""

    def apply(self, setting: float) -> None:
        """Put the untouched model into `setting`, in place."""
        ...

    def restore(self) -> None:
        """Bring the untouched model back, bit for bit."""
        ...


@dataclass
class Found:
    """What a search found; scores are fractions (0..1)."""

    reference: float
    """Score of the untouched model."""
    score: float
    """Score with `setting` applied."""
    setting: float | None = None
    """The strongest setting within tolerance; None if there is none."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """Every (setting, score) evaluated beside the reference, in order."""
    notes: list[str] = field(default_factory=list)
    """That the curve is not monotone, if so."""

    @property
    def monotone(self) -> bool:
        """Whether no setting tried was within tolerance while a weaker one was not."""
        return not self.notes

    def report(
        self, method: str, settings: dict[str, float | int | str], rate: float
    ) -> CompressionReport:
        """The report of `method`, whose `settings` free the share `rate` of the weights."""
        return CompressionReport(
            method=method,
            settings=settings,
            compression_rate=rate,
            reference_score=self.reference,
            score=self.score,
            curve=self.curve,
            no_effect=self.setting is None,
            notes=self.notes,
        )


def largest(count: int, accepts: Callable[[int], bool], budget: int) -> int | None:
    """The index in 0..count-1 before the first refused one, as far as tried; None for no index.

    Bisection, which ends as soon as the index and both its neighbours are known. Where the lower
    one is refused, the accepted index was luck, and the search goes down from there one by one.
    `accepts` is called at most `budget` times and never twice for one index.
    """
    verdicts: dict[int, bool] = {}
    while True:
        refused = min((tried for tried, good in verdicts.items() if not good), default=count)
        found = max((tried for tried in verdicts if tried < refused), default=-1)
        lucky = any(good and tried > refused for tried, good in verdicts.items())
        index = refused - 1 if lucky else (found + refused) // 2
        if index == found:
            index -= 1
        if index < 0 or index in verdicts or len(verdicts) >= budget:
            return found if found >= 0 else None
        verdicts[index] = accepts(index)


def boundary(
    model: nn.Module,
    score: Score,
    tolerance: float,
    settings: Sequence[float],
    trial: Trial,
    budget: int,
    reference: float | None = None,
) -> Found:
    """Try at most `budget` of `settings` (weakest first); the model is as it was in the end.

    The drop is `score(model)` untouched minus that with a setting applied, in percentage points;
    `reference` is the former where it is known. Raises `CellError` for a score that is not finite.
    """
    before = measure(model, score) if reference is None else reference
    scores: dict[int, float] = {}

    def within(index: int) -> bool:
        try:
            trial.apply(settings[index])
            scores[index] = measure(model, score)
        finally:
            trial.restore()
        return is_within(before, scores[index], tolerance)

    largest(len(settings), within, budget)
    curve = [(float(settings[index]), value) for index, value in scores.items()]
    ordered = [(settings[index], scores[index]) for index in sorted(scores)]
    found = settle(before, ordered, tolerance)
    found.curve = curve
    return found


def strongest(
    model: nn.Module,
    score: Score,
    tolerance: float,
    settings: Sequence[float],
    trial: Trial,
    budget: int,
) -> Found:
    """Find the `boundary` and apply its setting.

    Where no setting is within `tolerance`, and after any error, the model is as it was.
    """
    found = boundary(model, score, tolerance, settings, trial, budget)
    if found.setting is not None:
        apply(trial, found.setting)
    return found


def apply(trial: Trial, setting: float) -> None:
    """Put the model into `setting` for good; after an error it is as it was."""
    try:
        trial.apply(setting)
    except BaseException:
        trial.restore()
        raise


def settle(reference: float, curve: Iterable[tuple[float, float]], tolerance: float) -> Found:
    """What the (setting, score) of `curve`, weakest setting first, say."""
    found = Found(reference, reference)
    refused: float | None = None
    for setting, value in curve:
        found.curve.append((setting, value))
        if not is_within(reference, value, tolerance):
            refused = setting if refused is None else refused
        elif refused is None:
            found.setting, found.score = setting, value
        else:
            found.notes = [
                f"the curve is not monotone: {setting:g} is within the tolerance, "
                f"the weaker {refused:g} is not"
            ]
    return found


def is_within(reference: float, value: float, tolerance: float) -> bool:
    """Whether the drop from `reference` to `value` is at most `tolerance` percentage points."""
    return 100.0 * (reference - value) <= tolerance + ROUNDING


def measure(model: nn.Module, score: Score) -> float:
    """`score(model)`; raises `CellError` for one that is not finite."""
    value = float(score(model))
    if not math.isfinite(value):
        raise CellError(f"the validation score is {value}; check the model's weights and data")
    return value
