"""Limits on how much worse one run may be than another: "kwh:5%,accuracy:1pp,duration:10%"."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from energybench.errors import UsageError
from energybench.records.metric import ACCURACY, Metric
from energybench.records.record import RunRecord
from energybench.report.comparison import ComparedRow, Comparison, finetune_s
from energybench.report.likeness import other_watts
from energybench.report.savings import Pair
from energybench.report.stats import TAIL, Estimate, holm, means, p_beyond, ratios
from energybench.report.text import change_text, percent_change
from energybench.rules import shown

COSTS: dict[str, Callable[[RunRecord], float | None]] = {
    "kwh": lambda record: record.kwh,
    "kwh_total": lambda record: record.kwh_total,
    "duration": finetune_s,
    "epochs": lambda record: float(record.epoch_count or 0) or None,
}
"""Quantities that every task has, limited in percent; more is worse. Other names are metrics."""
CALL_COSTS = ("joules",)
"""Quantities of energies per call, limited in percent; `report.calls.judge_calls` judges them."""
_LIMIT = re.compile(r"\s*([^\s:,][^:,]*?)\s*:\s*([0-9.]+)\s*([^\W\d]\w*|%)?\s*")


@dataclass(frozen=True)
class Limit:
    """The largest change for the worse that a quantity may have against the first run.

    `name` is one of `COSTS` or `CALL_COSTS`, limited in percent of the first run's value, or the
    name of a metric, limited in the metric's unit: `accuracy:1pp`, `rmse:0.1`.
    """

    name: str
    allowed: float
    unit: str = ""
    """`%` for a cost; for a metric its unit, or "" to accept the unit that the records have."""

    def __str__(self) -> str:
        return f"{self.name}:{self.allowed:g}{self.unit}"

    @property
    def is_energy(self) -> bool:
        """Whether this limits an energy."""
        return self.name.startswith("kwh")

    def fits(self, metric: Metric | None) -> bool:
        """Return whether this limit applies to `metric`; an unknown metric counts as accuracy."""
        return self.name == (metric or ACCURACY).name


@dataclass(frozen=True)
class _Change:
    """The mean change of one limited quantity in one row of one later run."""

    limit: Limit
    where: str
    pairs: tuple[Pair, ...]
    estimate: Estimate
    """In the unit of the limit, positive for the worse."""
    p: float | None
    """One-sided p-value of a true change within the limit; None without an interval."""


@dataclass(frozen=True)
class Verdict:
    """The result of applying limits to a comparison."""

    offences: tuple[str, ...]
    """One line per row and exceeded limit, per failed cell, and per limit without a cell."""
    unknown: tuple[str, ...]
    """One line per limit that could not be applied to some rows, with the number of rows; and per
    limit of an energy that compares estimates of unlike watts, naming both."""
    refused: str | None = None
    """Why a limit of an energy cannot be judged at all: an estimate beside a measurement."""


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Read limits such as `kwh:5%,rmse:0.1`: `cost:number%` or `metric:number unit`, by commas.

    Raises `UsageError` for any other text.
    """
    return tuple(_limit(part) for part in text.split(","))


def _limit(text: str) -> Limit:
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no limit; write METRIC:N% or accuracy:Npp, as in kwh:5%")
    name, value, unit = found[1], found[2], found[3] or ""
    try:
        limit = Limit(name, float(value), unit)
        if not math.isfinite(limit.allowed):
            raise ValueError
    except ValueError:
        raise UsageError(f"{shown(value)!r} in {shown(text)!r} is not a number") from None
    if unit == "%" and name not in (*COSTS, *CALL_COSTS, ACCURACY.name):
        known = ", ".join((*COSTS, ACCURACY.name, *CALL_COSTS))
        raise UsageError(f"no metric {name!r} in {text!r}; known: {known}")
    costs = (*COSTS, *CALL_COSTS)
    needed = "%" if name in costs else ACCURACY.unit if name == ACCURACY.name else unit
    if unit != needed:
        example = Limit(name, limit.allowed, needed)
        raise UsageError(f"{text!r}: a limit of {name} is in {needed}, as in {example}")
    return limit


def of_cells_and_calls(limits: Sequence[Limit]) -> tuple[tuple[Limit, ...], tuple[Limit, ...]]:
    """Return the limits on cells, and those on energies per call."""
    calls = tuple(limit for limit in limits if limit.name in CALL_COSTS)
    return tuple(limit for limit in limits if limit not in calls), calls


def judge(comparison: Comparison, limits: Sequence[Limit]) -> Verdict:
    """Apply `limits` to every run but the first.

    With five or more seeds a limit is exceeded when its p-value, one-sided and by Student's t, is
    at most 0.025 after Holm's correction: alone, when the whole interval lies beyond the limit. The
    family is every row and limit of this call with five or more seeds, so that the chance of any
    false offence among them is 0.025. With fewer seeds a limit is exceeded when the mean is. A
    cell that finished in the first run and failed in another is an offence, and so is a limit for
    a metric that no cell has.
    """
    places = [(row, run, pairs) for row in comparison.rows for run, pairs in row.pairs.items()]
    offences = list(_newly_failed(comparison))
    unknown = []
    changes: list[_Change] = []
    for limit in limits:
        own = [place for place in places if limit.name in COSTS or limit.fits(_metric(place[2]))]
        if places and not own:
            offences.append(f"limit {limit}: no cell has the metric {limit.name!r}")
        missing = 0
        for (row, run, pairs), found in zip(
            own, _worse(limit, [pairs for _, _, pairs in own]), strict=True
        ):
            unit = None if limit.name in COSTS else (_metric(pairs) or ACCURACY).unit
            if found is None:
                missing += 1
            elif unit is not None and limit.unit not in ("", unit):
                where = _where(limit, row, run)
                offences.append(f"{where} is in {unit or 'no unit'}, and the limit {limit} is not")
            else:
                changes.append(_Change(limit, _where(limit, row, run), pairs, *found))
        if missing:
            unknown.append(f"{limit} not applied to {missing} of {len(own)} rows: not known")
        unknown += _unlike_watts(limit, own)
    refused = _refusal(comparison, limits)
    return Verdict((*offences, *_exceeded(changes)), tuple(unknown), refused)


def _refusal(comparison: Comparison, limits: Sequence[Limit]) -> str | None:
    """Return why a limit cannot be judged: an energy was estimated once and measured once."""
    limit = next((one for one in limits if one.is_energy), None)
    mixed = (
        f"{row.key} is read by {theirs.energy_source} in {comparison.runs[0]}, by "
        f"{ours.energy_source} in {run}"
        for row in comparison.rows
        for run, pairs in row.pairs.items()
        for ours, theirs in pairs
        if ours.estimated != theirs.estimated
    )
    where = None if limit is None else next(mixed, None)
    if where is None:
        return None
    return f"{limit} would compare an estimate with a measurement: {where}; measure both alike"


def _unlike_watts(
    limit: Limit, places: Sequence[tuple[ComparedRow, str, Sequence[Pair]]]
) -> list[str]:
    """Return a line per two assumptions, if `limit` compares estimates that rest on both."""
    if not limit.is_energy:
        return []
    found = other_watts(
        pair for _, _, pairs in places if _values(limit.name, pairs) for pair in pairs
    )
    return [
        f"{limit} compares estimates with unlike watts: {theirs} | now {ours}"
        for ours, theirs in found
    ]


def _where(limit: Limit, row: ComparedRow, run: str) -> str:
    label = f" ({row.label})" if row.label else ""
    return f"{row.key}{label} in {run}: {limit.name}"


def _exceeded(changes: Sequence[_Change]) -> list[str]:
    """Return a line per change that exceeds its limit, given all changes of one gate."""
    family = [change.p for change in changes if change.p is not None]
    adjusted = iter(holm(family))
    lines = []
    for change in changes:
        p = None if change.p is None else next(adjusted)
        exceeded = change.estimate.value > change.limit.allowed if p is None else p <= TAIL
        if exceeded:
            lines.append(_line(change, p, len(family)))
    return lines


def _line(change: _Change, p: float | None, family: int) -> str:
    metric = None if change.limit.name in COSTS else _metric(change.pairs) or ACCURACY
    unit = change.limit.unit if metric is None else metric.unit
    allowed = f"{change.limit.allowed:g} {unit}".rstrip()
    count = len(change.pairs)
    seeds = f"{count} seed{'s' if count > 1 else ''}"
    if p is not None:
        seeds += f", p {'< 0.001' if p < 0.001 else f'= {p:.2g}'}"
        seeds += f" by Holm's correction for {family}" if family > 1 else ""
    return f"{change.where} {change_text(change.estimate, metric)}, limit {allowed} ({seeds})"


def _metric(pairs: Sequence[Pair]) -> Metric | None:
    return pairs[0][0].metric


def _worse(
    limit: Limit, rows: Sequence[Sequence[Pair]]
) -> list[tuple[Estimate, float | None] | None]:
    """Return per row the mean change for the worse and its p-value, see `_Change`.

    The change is that from the second of each pair to the first, in the unit of the limit.
    """
    if limit.name not in COSTS:
        drops = [_drops(pairs) for pairs in rows]
        steps = [_step(pairs) for pairs, row in zip(rows, drops, strict=True) if row]
        found = iter(means([row for row in drops if row], steps))
        changes = [next(found) if row else None for row in drops]
        return [None if one is None else (one, p_beyond(one, limit.allowed)) for one in changes]
    values = [_values(limit.name, pairs) for pairs in rows]
    known = [row for row in values if row]
    whole = limit.name == "epochs"
    one_more = [_one_more(row) if whole else 0.0 for row in known]
    estimates = iter(ratios(known, one_more))
    return [_as_percent(next(estimates), limit.allowed) if row else None for row in values]


def _step(pairs: Sequence[Pair]) -> float:
    """Return the smallest step of a drop: one item of the coarsest test split; 0: not known."""
    tests = (record.test for pair in pairs for record in pair)
    return max((test.resolution for test in tests if test is not None), default=0.0)


def _one_more(row: Sequence[tuple[float, float]]) -> float:
    """Return the logarithm of the ratio that one epoch more than the first run's makes."""
    return math.log1p(1.0 / min(second for _, second in row))


def _drops(pairs: Sequence[Pair]) -> list[float]:
    """Return the drop of each pair in the metric's unit; empty if a value is not known."""
    row = []
    for ours, base in pairs:
        if ours.metric is None or ours.value is None or base.value is None:
            return []
        row.append(ours.metric.drop(base.value, ours.value))
    return row


def _values(name: str, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """Return the cost of each pair; empty if a cost is not known or two are not comparable."""
    if name.startswith("kwh") and any(a.energy_source != b.energy_source for a, b in pairs):
        return []
    read = COSTS[name]
    row = []
    for ours, base in pairs:
        first, second = read(ours), read(base)
        if first is None or second is None or min(first, second) <= 0.0:
            return []
        row.append((first, second))
    return row


def _as_percent(ratio: Estimate, allowed: float) -> tuple[Estimate, float | None]:
    """Return the change in percent, and its p-value, which is taken on the logarithms."""
    return percent_change(ratio), p_beyond(ratio.log(), math.log1p(allowed / 100.0))


def _newly_failed(comparison: Comparison) -> list[str]:
    first, *others = comparison.runs
    failed = {(one.model, one.method, one.seed) for one in comparison.failed[first]}
    return [
        f"{record.model} {record.method} seed {record.seed} in {run}: failed: {record.error}"
        for run in others
        for record in comparison.failed[run]
        if (record.model, record.method, record.seed) not in failed
    ]
