"""The record of how soon a cell was as good as it has to be, as MLPerf's time to quality.

P. Mattson et al., "MLPerf Training Benchmark" (arXiv 1910.01500).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from energybench.records.epoch import EpochRecord
from energybench.records.metric import Metric
from energybench.records.start import Start


@dataclass(frozen=True)
class Target:
    """The first epoch whose validation metric is within the tolerance of the baseline's best."""

    value: float
    """The validation metric to reach: the baseline's best, less the tolerance."""
    epoch: int | None
    """Number of the first epoch that reached it, 0 for the compressed weights; None: none did."""
    joules: float | None
    """IT energy of fine-tuning until the end of that epoch; None if not reached or not known."""


def target_of(
    metric: Metric,
    tolerance: float,
    baseline: Sequence[EpochRecord],
    start: Start | None,
    epochs: Sequence[EpochRecord],
) -> Target | None:
    """Return when a cell with this `start` and these `epochs` was as good as its baseline.

    The target is the best validation metric of the epochs of `baseline`, less `tolerance` in the
    unit of `metric`. Returns None for a baseline without epochs.
    """
    if not baseline:
        return None
    values = [epoch.validation_metric for epoch in baseline]
    best = max(values) if metric.higher_is_better else min(values)
    allowed = tolerance / metric.scale
    value = best - allowed if metric.higher_is_better else best + allowed
    if start is not None and metric.is_within(best, start.compressed.value, tolerance):
        return Target(value, 0, 0.0)
    spent: list[float | None] = []
    for epoch in epochs:
        spent.append(epoch.joules)
        if metric.is_within(best, epoch.validation_metric, tolerance):
            return Target(value, epoch.epoch, _sum(spent))
    return Target(value, None, None)


def _sum(joules: Sequence[float | None]) -> float | None:
    known = [one for one in joules if one is not None]
    return sum(known) if len(known) == len(joules) else None
