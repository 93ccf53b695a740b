"""Limits on how much worse a run may be than another: "kwh:5%,accuracy:1pp,duration:10%"."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from energybench.errors import UsageError
from energybench.records.record import RunRecord
from energybench.report.comparison import Comparison, finetune_s
from energybench.report.savings import Pair
from energybench.report.stats import Estimate, means, ratios

METRICS: dict[str, Callable[[RunRecord], float | None]] = {
    "kwh": lambda record: record.kwh,
    "kwh_total": lambda record: record.kwh_total,
    "duration": finetune_s,
    "epochs": lambda record: float(len(record.epochs)) or None,
    "accuracy": lambda record: record.accuracy,
}
"""What can be limited. More is worse, except of accuracy."""
_LIMIT = re.compile(r"\s*(\w+)\s*:\s*([0-9.]+)\s*(%|pp)\s*")


@dataclass(frozen=True)
class Limit:
    """How much worse `metric` may be: percent of the first run's, or percentage points."""

    metric: str
    allowed: float

    def __str__(self) -> str:
        return f"{self.metric}:{self.allowed:g}{self.unit}"

    @property
    def unit(self) -> str:
        """`pp` of an accuracy, `%` of everything else."""
        return "pp" if self.metric == "accuracy" else "%"


@dataclass(frozen=True)
class Verdict:
    """What a comparison says about limits."""

    offences: tuple[str, ...]
    """A line per row and limit that is exceeded, or per cell that failed."""
    unknown: tuple[str, ...]
    """A line per limit that could not be applied, and to how many rows."""


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Limits out of `metric:number%` or `accuracy:number pp`, comma-separated.

    Raises `UsageError` in one line for anything else.
    """
    return tuple(_limit(part) for part in text.split(","))


def _limit(text: str) -> Limit:
    found = _LIMIT.fullmatch(text)
    known = ", ".join(METRICS)
    if found is None:
        raise UsageError(f"{text!r} is no limit; write METRIC:N% or accuracy:Npp, as in kwh:5%")
    metric, value, unit = found.groups()
    if metric not in METRICS:
        raise UsageError(f"no metric {metric!r} in {text!r}; known: {known}")
    try:
        limit = Limit(metric, float(value))
    except ValueError:
        raise UsageError(f"{value!r} in {text!r} is not a number") from None
    if unit != limit.unit:
        raise UsageError(f"{text!r}: a limit of {metric} is in {limit.unit}, as in {limit}")
    return limit


def judge(comparison: Comparison, limits: Sequence[Limit]) -> Verdict:
    """Apply `limits` to every run but the first.

    With five or more seeds a limit is exceeded when the interval lies beyond it, with fewer when
    the mean does. A cell that finished in the first run and failed in another is an offence.
    """
    places = [(row, run, pairs) for row in comparison.rows for run, pairs in row.pairs.items()]
    offences = list(_newly_failed(comparison))
    unknown = []
    for limit in limits:
        worse = _worse(limit.metric, [pairs for _, _, pairs in places])
        missing = 0
        for (row, run, pairs), estimate in zip(places, worse, strict=True):
            if estimate is None:
                missing += 1
                continue
            least = estimate.value if estimate.low is None else estimate.low
            if least > limit.allowed:
                label = f" ({row.label})" if row.label else ""
                offences.append(
                    f"{row.key}{label} in {run}: {limit.metric} {_change(estimate, limit)}, "
                    f"limit {limit.allowed:g} {limit.unit} ({_seeds(pairs)})"
                )
        if missing:
            unknown.append(f"{limit} not applied to {missing} of {len(places)} rows: not known")
    return Verdict(tuple(offences), tuple(unknown))


def _worse(metric: str, rows: Sequence[Sequence[Pair]]) -> list[Estimate | None]:
    """By how much the first of each pair is worse than the second, in the limit's unit."""
    values = [_values(metric, pairs) for pairs in rows]
    known = [row for row in values if row]
    if metric == "accuracy":
        found = means([[100.0 * (base - ours) for ours, base in row] for row in known])
    else:
        found = [_as_percent(ratio) for ratio in ratios(known)]
    estimates = iter(found)
    return [next(estimates) if row else None for row in values]


def _values(metric: str, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """The metric of each pair; empty where one is not known or the two are not comparable."""
    if metric.startswith("kwh") and any(a.energy_source != b.energy_source for a, b in pairs):
        return []
    read = METRICS[metric]
    row = []
    for ours, base in pairs:
        first, second = read(ours), read(base)
        if first is None or second is None:
            return []
        if metric != "accuracy" and min(first, second) <= 0.0:
            return []
        row.append((first, second))
    return row


def _as_percent(ratio: Estimate) -> Estimate:
    def change(value: float | None) -> float | None:
        return None if value is None else 100.0 * (value - 1.0)

    return Estimate(100.0 * (ratio.value - 1.0), change(ratio.low), change(ratio.high), ratio.pairs)


def _newly_failed(comparison: Comparison) -> list[str]:
    first, *others = comparison.runs
    failed = {(one.model, one.method, one.seed) for one in comparison.failed[first]}
    return [
        f"{record.model} {record.method} seed {record.seed} in {run}: failed: {record.error}"
        for run in others
        for record in comparison.failed[run]
        if (record.model, record.method, record.seed) not in failed
    ]


def _change(estimate: Estimate, limit: Limit) -> str:
    """`+7.3 % [+6.1, +8.4]`; of an accuracy, how much lower it is."""
    sign = -1.0 if limit.metric == "accuracy" else 1.0
    text = f"{sign * estimate.value:+.2f} {limit.unit}"
    if estimate.low is None or estimate.high is None or math.isinf(estimate.high):
        return text
    ends = sorted((sign * estimate.low, sign * estimate.high))
    return f"{text} [{ends[0]:+.2f}, {ends[1]:+.2f}]"


def _seeds(pairs: Sequence[Pair]) -> str:
    return f"{len(pairs)} seed{'s' if len(pairs) > 1 else ''}"
