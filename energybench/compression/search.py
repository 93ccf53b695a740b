"""Search for the strongest setting whose drop is within the tolerance; every method uses it.

A score is not monotone in the setting: beyond a setting that exceeds the tolerance, a stronger one
may be within it by the luck of a few items. So the search returns the last setting before the
first that exceeds the tolerance, and every weaker setting that it tried is within the tolerance.

Which of two scores is better, and by how much, is the metric's to say (`Metric.is_within`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from energybench.compression.base import Judged, Score, require_score
from energybench.compression.resampling import setting_interval
from energybench.errors import CellError
from energybench.records.metric import Metric
from energybench.records.record import CompressionReport


class Trial(Protocol):
    """Puts one model into any setting, and back."""

    def apply(self, setting: float) -> None:
        """Put the untouched model into `setting`, in place."""
        ...

    def restore(self) -> None:
        """Restore the untouched model, bit for bit."""
        ...


@dataclass
class Found:
    """The outcome of a search; scores are values of the score's metric."""

    reference: float
    """Score of the untouched model."""
    score: float
    """Score with `setting` applied."""
    setting: float | None = None
    """The strongest setting within tolerance; None if there is none."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """Every (setting, score) evaluated beside the reference, in the order of evaluation."""
    notes: list[str] = field(default_factory=list)
    """One line if the curve is not monotone, else none."""
    interval: tuple[float, float] | None = None
    """95 % interval of `setting` over resampled items, see `resampling.setting_interval`."""

    @property
    def monotone(self) -> bool:
        """False if a setting was within the tolerance although a weaker one was not."""
        return not self.notes

    def report(
        self,
        method: str,
        settings: dict[str, float | int | str],
        rate: float,
        notes: Iterable[str] = (),
    ) -> CompressionReport:
        """Return the report of `method`, whose `settings` free the share `rate` of the weights.

        `notes` come after those of the search.
        """
        return CompressionReport(
            method=method,
            settings=settings,
            compression_rate=rate,
            reference_score=self.reference,
            score=self.score,
            curve=self.curve,
            no_effect=self.setting is None,
            notes=[*self.notes, *notes],
            interval=self.interval,
        )


def largest(count: int, accepts: Callable[[int], bool], budget: int) -> int | None:
    """Return the index in 0..count-1 before the first refused one tried; None for no index.

    The bisection ends as soon as the index and both its neighbours are known. Where the lower
    neighbour is refused, luck had accepted the index, and the search goes down from there one by
    one to an index that was accepted. `accepts` is never called twice for one index, and at most
    `budget` times; more often only as long as no index is left that was accepted, since None says
    that index 0 was refused.
    """
    verdicts: dict[int, bool] = {}
    found, refused = -1, count
    while found + 1 < refused or found - 1 not in verdicts:
        lucky = any(good and tried > refused for tried, good in verdicts.items())
        index = refused - 1 if lucky and found >= 0 else (found + refused) // 2
        if index == found:
            index -= 1
        if index < 0 or (found >= 0 and len(verdicts) >= budget):
            break
        verdicts[index] = accepts(index)
        refused = min((tried for tried, good in verdicts.items() if not good), default=count)
        found = max((tried for tried in verdicts if tried < refused), default=-1)
    return found if found >= 0 else None


def boundary(
    model: nn.Module,
    score: Score,
    tolerance: float,
    settings: Sequence[float],
    trial: Trial,
    budget: int,
    reference: Judged | None = None,
) -> Found:
    """Try about `budget` of `settings` (weakest first); in the end the model is as it was.

    See `largest` for when it tries more.

    The drop is from `score(model)` untouched to that with a setting applied, and `tolerance` is in
    the unit of `score.metric`. `reference` is the former score where it is known already. Raises
    `TypeError` for a score without a metric, and `CellError` for a value that is not finite.
    """
    before = measure(model, score) if reference is None else reference
    scores: dict[int, Judged] = {}

    def within(index: int) -> bool:
        try:
            trial.apply(settings[index])
            scores[index] = measure(model, score)
        finally:
            trial.restore()
        return score.metric.is_within(before.value, scores[index].value, tolerance)

    largest(len(settings), within, budget)
    curve = [(float(settings[index]), one.value) for index, one in scores.items()]
    ordered = [(float(settings[index]), scores[index]) for index in sorted(scores)]
    found = settle(score.metric, before, ordered, tolerance)
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

    Where no setting is within `tolerance`, and after an error, the model is as it was.
    """
    found = boundary(model, score, tolerance, settings, trial, budget)
    if found.setting is not None:
        apply(trial, found.setting)
    return found


def given(model: nn.Module, score: Score, setting: float, trial: Trial) -> Found:
    """Apply `setting` without a search, whatever its drop; both scores are measured.

    After an error the model is as it was.
    """
    found = Found(measure(model, score).value, 0.0, setting)
    try:
        trial.apply(setting)
        found.score = measure(model, score).value
    except BaseException:
        trial.restore()
        raise
    found.curve = [(float(setting), found.score)]
    return found


def apply(trial: Trial, setting: float) -> None:
    """Put the model into `setting` for good; after an error it is as it was."""
    try:
        trial.apply(setting)
    except BaseException:
        trial.restore()
        raise


def settle(
    metric: Metric, reference: Judged, curve: Sequence[tuple[float, Judged]], tolerance: float
) -> Found:
    """Pick the strongest setting of `curve`, which is (setting, score) with the weakest first."""
    found = Found(reference.value, reference.value)
    tried = [(setting, judged.right) for setting, judged in curve]
    found.interval = setting_interval(metric, reference.right, tried, tolerance)
    refused: float | None = None
    for setting, judged in curve:
        value = judged.value
        found.curve.append((setting, value))
        if not metric.is_within(reference.value, value, tolerance):
            refused = setting if refused is None else refused
        elif refused is None:
            found.setting, found.score = setting, value
        else:
            found.notes = [
                f"the curve is not monotone: {setting:g} is within the tolerance, "
                f"the weaker {refused:g} is not"
            ]
    return found


def measure(model: nn.Module, score: Score) -> Judged:
    """Return the score of `model`.

    Raises `TypeError` for a score without a metric, and `CellError` for a value that is not finite.
    """
    require_score(score)
    judged = score.judge(model)
    if not math.isfinite(judged.value):
        raise CellError(
            f"the validation score is {judged.value}; check the model's weights and data"
        )
    return judged
