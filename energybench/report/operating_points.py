"""The front of the operating points: those that no other one beats in time, energy and metric."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from energybench.energy.units import format_joules, format_seconds
from energybench.records.metric import Metric
from energybench.records.studies import OperatingPoint
from energybench.report.scores import with_unit
from energybench.report.stats import mean_of_all

SettingKey = tuple[str, str, int, str, float | None]
"""Model, method, batch size, arithmetic, power limit in watts."""


@dataclass(frozen=True)
class MeanPoint:
    """One point as the mean over its seeds."""

    model: str
    method: str
    batch_size: int
    precision: str
    power_limit_w: float | None
    seeds: int
    epochs: float
    seconds: float
    joules: float | None
    """None where the energy of any seed is not known."""
    metric: Metric
    value: float

    @property
    def name(self) -> str:
        """Return "64, bf16, 250 W"."""
        limit = [] if self.power_limit_w is None else [f"{self.power_limit_w:g} W"]
        return ", ".join([str(self.batch_size), self.precision, *limit])

    @property
    def score(self) -> str:
        """The metric as text."""
        return self.metric.show(self.value)

    def beats(self, other: "MeanPoint") -> bool:
        """Whether this point is nowhere worse than `other`, and better in one of the three.

        Energies count where both are known.
        """
        better, worse = [], []
        pairs = [(self.seconds, other.seconds)]
        if self.joules is not None and other.joules is not None:
            pairs.append((self.joules, other.joules))
        sign = -1.0 if self.metric.higher_is_better else 1.0
        pairs.append((sign * self.value, sign * other.value))
        for own, theirs in pairs:
            better.append(own < theirs)
            worse.append(own > theirs)
        return any(better) and not any(worse)


def mean_points(found: Iterable[OperatingPoint]) -> list[MeanPoint]:
    """Return each point once, as the mean over its seeds, in the order of `found`."""
    groups: dict[SettingKey, list[OperatingPoint]] = {}
    for one in found:
        key = (one.model, one.method, one.batch_size, one.precision, one.power_limit_w)
        groups.setdefault(key, []).append(one)
    return [_mean(points) for points in groups.values()]


def _mean(points: Sequence[OperatingPoint]) -> MeanPoint:
    first = points[0]
    return MeanPoint(
        model=first.model,
        method=first.method,
        batch_size=first.batch_size,
        precision=first.precision,
        power_limit_w=first.power_limit_w,
        seeds=len(points),
        epochs=fmean(one.epochs for one in points),
        seconds=fmean(one.seconds for one in points),
        joules=mean_of_all([one.joules for one in points]),
        metric=first.metric,
        value=fmean(one.value for one in points),
    )


def front(points: Sequence[MeanPoint]) -> list[MeanPoint]:
    """Return the points that no other one of the same model and metric beats."""
    return [
        one
        for one in points
        if not any(
            (other.model, other.metric) == (one.model, one.metric) and other.beats(one)
            for other in points
        )
    ]


def operating_finding(found: Iterable[OperatingPoint]) -> list[str]:
    """Return a sentence per model: how many points are on its front, and its three ends."""
    points = mean_points(found)
    lines = []
    for model in dict.fromkeys(one.model for one in points):
        own = [one for one in points if one.model == model]
        best = front(own)
        fastest = min(best, key=lambda one: one.seconds)
        parts = [f"the least time {format_seconds(fastest.seconds)} at {fastest.name}"]
        known = [(one.joules, one) for one in best if one.joules is not None]
        if known:
            joules, frugal = min(known, key=lambda pair: pair[0])
            parts.append(f"the least energy {format_joules(joules)} at {frugal.name}")
        metric = best[0].metric
        sign = 1.0 if metric.higher_is_better else -1.0
        top = max(best, key=lambda one: sign * one.value)
        parts.append(f"the best {metric.name} {top.score} at {top.name}")
        lines.append(
            f"{model}: {len(best)} of {len(own)} points are on the front; {', '.join(parts)}."
        )
    return lines


def metric_label(points: Sequence[MeanPoint]) -> str:
    """Return the name of the metric for an axis or a column."""
    metric = points[0].metric
    return f"{metric.name}, %" if metric.is_share else with_unit(metric.name, metric.unit)
