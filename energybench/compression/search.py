"""The search that every compression uses: the strongest setting whose drop is within tolerance."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from energybench.compression.base import Score
from energybench.errors import CellError
from energybench.record import ROUNDING_PP, CompressionReport


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
        )


def largest(count: int, accepts: Callable[[int], bool], budget: int) -> int | None:
    """The largest index in 0..count-1 found with `accepts(index)`; None if none was.

    Bisection, which is exact if `accepts` is true up to some index and false after it. Accuracies
    are not that tidy, so what is left of `budget` goes to the untried indices right above the one
    found. `accepts` is called at most `budget` times and never twice for one index.
    """
    found, refused = -1, count
    tried = set[int]()

    def accepted(index: int) -> bool:
        tried.add(index)
        return accepts(index)

    while refused - found > 1 and len(tried) < budget:
        middle = (found + refused) // 2
        if accepted(middle):
            found = middle
        else:
            refused = middle
    for index in range(found + 1, count):
        if len(tried) >= budget:
            break
        if index not in tried and accepted(index):
            found = index
    return found if found >= 0 else None


def strongest(
    model: nn.Module,
    score: Score,
    tolerance_pp: float,
    settings: Sequence[float],
    trial: Trial,
    budget: int,
) -> Found:
    """Try at most `budget` of `settings` (weakest first) and apply the strongest within tolerance.

    The drop is `score(model)` untouched minus that with a setting applied, in percentage points.
    Where no setting is within `tolerance_pp`, and after any error, the model is as it was. Raises
    `CellError` for a score that is not finite.
    """
    reference = _measure(model, score)
    found = Found(reference, reference)

    def within(index: int) -> bool:
        try:
            trial.apply(settings[index])
            value = _measure(model, score)
        finally:
            trial.restore()
        found.curve.append((float(settings[index]), value))
        return 100.0 * (reference - value) <= tolerance_pp + ROUNDING_PP

    index = largest(len(settings), within, budget)
    if index is not None:
        found.setting = settings[index]
        found.score = dict(found.curve)[found.setting]
        trial.apply(found.setting)
    return found


def _measure(model: nn.Module, score: Score) -> float:
    value = float(score(model))
    if not math.isfinite(value):
        raise CellError(f"the validation score is {value}; check the model's weights and data")
    return value
