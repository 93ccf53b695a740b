"""A run against the runs before it: what got worse since which run, or that there is no step."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from energybench.errors import UsageError
from energybench.records.metric import ACCURACY, Metric
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.comparison import machine_kind
from energybench.report.gate import COSTS, Limit
from energybench.report.likeness import assumed, boards
from energybench.report.rows import Row, RowKey, in_order, labels, rows
from energybench.report.stats import TAIL, Estimate, holm, mean_of_all
from energybench.report.steps import MIN_RUNS, Levels, Step, levels
from energybench.report.text import change_text, percent_change

COST_RESOLUTION = 0.001
"""Relative difference of energies and durations below which nothing is a step; asv's, too."""
ENERGY = (Limit("kwh", 0.0, "%"),)
"""What is looked at where no limit is given."""


@dataclass(frozen=True)
class Finding:
    """One quantity of one row, over the runs of its series."""

    key: RowKey
    label: str
    """The settings that no other row of this model and method has; mostly empty."""
    limit: Limit
    runs: tuple[Run, ...]
    """Oldest first; the last one is the run that is judged."""
    values: tuple[float, ...]
    """One per run: the logarithm of a cost, or a metric in its unit; larger is worse."""
    metric: Metric | None
    """None for a cost."""
    found: Levels | None
    """None where the series is too short."""
    exceeded: bool = False
    """Whether the regression is beyond the limit, after Holm's correction over all findings."""

    @property
    def where(self) -> str:
        """The row and its quantity: "resnet18 stego: kwh"."""
        return f"{self.key}{f' ({self.label})' if self.label else ''}: {self.limit.name}"

    @property
    def step(self) -> Step | None:
        """The step, if there is a clear one."""
        return None if self.found is None else self.found.step

    @property
    def since(self) -> Run | None:
        """The first run after the step."""
        return None if self.step is None else self.runs[self.step.place]

    @property
    def change(self) -> Estimate | None:
        """The height of the step, positive for the worse: percent of a cost, or the metric's unit.
        The interval is 95 % for the whole series."""
        if self.step is None:
            return None
        change = self.step.change
        return change if self.metric is not None else percent_change(change.exp())

    @property
    def text(self) -> str:
        """ "regression since 0007 (88cf6ac, 2026-11-24): +12.30 % [+8.00, +16.80], 6 runs against
        15", "no step in 21 runs", or that they are too few."""
        if self.found is None:
            return f"too few runs for a step: {len(self.runs)} of {MIN_RUNS}"
        step, since, change = self.step, self.since, self.change
        if step is None or since is None or change is None:
            spread = self._spread(self.found)
            if self.found.number > 1:
                return f"as good as the best level of {self.found.runs} runs"
            return f"no step in {self.found.runs} runs, which differ by {spread}"
        what = "regression" if step.height > 0.0 else "better"
        runs = "this run alone" if step.after == 1 else f"{step.after} runs"
        return (
            f"{what} since {named(since)}: {change_text(change, self.metric)}, {runs} against "
            f"{step.before}"
        )

    def _spread(self, found: Levels) -> str:
        if self.metric is None:
            return f"±{100.0 * math.expm1(found.spread):.1f} %"
        return f"±{self.metric.show_drop(found.spread, '')}"


def named(run: Run) -> str:
    """Return the run's label with its commit and day, as far as they are known."""
    facts = ", ".join(filter(None, (run.commit, run.measured_on)))
    return f"{run.label} ({facts})" if facts else run.label


def findings(
    new: Run,
    past: Sequence[Run],
    limits: Sequence[Limit] = ENERGY,
    across: Collection[str] = (),
) -> list[Finding]:
    """Return a finding per limit and row of `new`; `past` are earlier runs, oldest first.

    The series of a row has the runs that measured the row with every seed of `new`. A value is the
    mean over these seeds. `across` names parts of the protocol that may differ. Raises
    `UsageError` where a series mixes machines or sources of energy.
    """
    ours = rows(new.records, across)
    before = [(run, rows(run.records, across)) for run in past]
    names = labels(ours)
    found = []
    for key in in_order(ours):
        row = ours[key]
        series = [
            (run, table[key]) for run, table in before if row.keys() <= table.get(key, {}).keys()
        ]
        series.append((new, row))
        cells = [(run, [having[seed] for seed in row]) for run, having in series]
        own = [one for one in limits if one.name in COSTS or one.fits(_metric(row))]
        if own:
            _check_alike(key, cells, any(one.is_energy for one in own))
        found += [_finding(key, names[key], limit, cells) for limit in own]
    return _judged([one for one in found if one is not None])


def newly_failed(new: Run, past: Sequence[Run]) -> list[str]:
    """Return a line per cell of `new` that failed, and that finished in an earlier run."""
    finished = {
        (one.model, one.method, one.seed)
        for run in past
        for one in run.records
        if one.status == "ok"
    }
    return [
        f"{one.model} {one.method} seed {one.seed} in {new.label}: failed: {one.error}"
        for one in new.records
        if one.status != "ok" and (one.model, one.method, one.seed) in finished
    ]


_Cells = Sequence[tuple[Run, Sequence[RunRecord]]]


def _finding(key: RowKey, label: str, limit: Limit, cells: _Cells) -> Finding | None:
    """Return what the series of one quantity shows; None where this run has no value of it."""
    metric = None if limit.name in COSTS else _metric({0: cells[-1][1][0]})
    known = [
        (run, value)
        for run, records in cells
        if (value := _value(limit, metric, records)) is not None
    ]
    if not known or known[-1][0] is not cells[-1][0]:
        return None
    runs, values = zip(*known, strict=True)
    resolution = _resolution(limit, metric, cells)
    found = levels(values, resolution) if len(values) >= MIN_RUNS else None
    return Finding(key, label, limit, runs, values, metric, found)


def _value(limit: Limit, metric: Metric | None, records: Sequence[RunRecord]) -> float | None:
    if metric is None:
        costs = [COSTS[limit.name](record) for record in records]
        return mean_of_all([math.log(cost) if cost and cost > 0.0 else None for cost in costs])
    values = [record.value for record in records]
    return mean_of_all([None if value is None else metric.drop(0.0, value) for value in values])


def _resolution(limit: Limit, metric: Metric | None, cells: _Cells) -> float:
    """Return the smallest step of a mean over the seeds, in the unit of `Finding.values`."""
    every = [record for _, records in cells for record in records]
    seeds = len(cells[-1][1])
    if metric is not None:
        return max((one.test.resolution for one in every if one.test), default=0.0) / seeds
    if limit.name == "epochs":
        return math.log1p(1.0 / max(1, min(len(record.epochs) for record in every))) / seeds
    return COST_RESOLUTION


def _judged(found: Sequence[Finding]) -> list[Finding]:
    """Return the findings with `exceeded` set."""
    adjusted = holm([_p(one) for one in found])
    return [replace(one, exceeded=p <= TAIL) for one, p in zip(found, adjusted, strict=True)]


def _p(finding: Finding) -> float:
    if finding.step is None:
        return 1.0
    allowed = finding.limit.allowed
    return finding.step.p_beyond(allowed if finding.metric else math.log1p(allowed / 100.0))


def _metric(row: Row) -> Metric:
    return next(iter(row.values())).metric or ACCURACY


def _check_alike(key: RowKey, cells: _Cells, energy: bool) -> None:
    """Raise `UsageError` if a series has two machines or, for an energy, two sources."""
    facts: list[tuple[str, Callable[[RunRecord], str]]] = [
        ("machines", lambda record: ", ".join((*machine_kind(record), *boards(record)))),
    ]
    if energy:
        facts += [
            ("sources of energy", lambda record: record.energy_source),
            ("estimates", lambda record: assumed(record) if record.estimated else ""),
        ]
    for noun, fact in facts:
        where: dict[str, str] = {}
        for run, records in cells:
            for record in records:
                where.setdefault(fact(record), run.label)
        if len(where) > 1:
            (one, first), (other, second) = list(where.items())[:2]
            raise UsageError(
                f"{key} has two {noun} in its history: {one} in {first}, {other} in {second}; name "
                "runs of one with --history"
            )


def to_json(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return each finding as plain dicts and lists; changes in percent or in the metric's unit."""
    return [_json(one) for one in found]


def _json(one: Finding) -> dict[str, Any]:
    change, since = one.change, one.since
    return {
        "model": one.key.model,
        "method": one.key.method,
        "setting": dict(one.key.setting),
        "limit": str(one.limit),
        "runs": [_run_json(run) for run in one.runs],
        "since": None if since is None else _run_json(since),
        "change": None if change is None else _change_json(change),
        "unit": "%" if one.metric is None else one.metric.unit,
        "exceeded": one.exceeded,
        "text": one.text,
    }


def _run_json(run: Run) -> Mapping[str, str | None]:
    return {"label": run.label, "commit": run.commit, "measured_at": run.measured_at}


def _change_json(change: Estimate) -> Mapping[str, float | None]:
    return {"value": change.value, "low": change.low, "high": change.high}
