"""Texts for the metrics of cells, in tables and figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from energybench.records.metric import ACCURACY, Metric
from energybench.records.record import RunRecord
from energybench.report.savings import Saving
from energybench.report.stats import Estimate
from energybench.report.text import interval


@dataclass(frozen=True)
class ScoreColumn:
    """The column of a table for the metric of its cells, and the column for the drops.

    With one metric the header is the name of the metric. With several metrics the header is
    "metric", and each value begins with the name of its metric: "rmse 0.512 m".
    """

    header: str
    named: bool

    def value(self, metric: Metric | None, value: float | None) -> str:
        """Return a value as the table shows it; "-" for None."""
        if metric is None or value is None:
            return "-"
        return f"{metric.name} {metric.show(value)}" if self.named else metric.show(value)

    def drop(self, metric: Metric | None, drop: float | None) -> str:
        """Return a drop with its sign and unit, positive where the model is worse; "-" for None."""
        return "-" if metric is None or drop is None else metric.show_drop(drop)

    def mean_drop(self, metric: Metric | None, drop: Estimate | None) -> str:
        """Return a mean drop with its interval: "+0.40 pp [+0.10, +0.70]"; "-" for None."""
        return "-" if metric is None or drop is None else mean_drop(metric, drop)


def mean_drop(metric: Metric, drop: Estimate) -> str:
    """Return a mean drop with its unit and interval: "+0.40 pp [+0.10, +0.70]"."""
    digits = ".2f" if metric.is_share else ".3g"
    return metric.show_drop(drop.value) + interval(drop, lambda end: f"{end:+{digits}}")


def score_column(records: Iterable[RunRecord]) -> ScoreColumn:
    """Return the column for `records`; cells without a test fit any column."""
    names = metric_names(records)
    return ScoreColumn(names[0], False) if len(names) == 1 else ScoreColumn("metric", True)


def metric_names(records: Iterable[RunRecord]) -> list[str]:
    """Return the distinct names of the records' metrics, in order; accuracy if none is known."""
    names = (record.metric.name for record in records if record.metric is not None)
    return list(dict.fromkeys(names)) or [ACCURACY.name]


def metric_of(records: Iterable[RunRecord]) -> Metric:
    """Return the first known metric of `records`; accuracy if none is known."""
    return next((one.metric for one in records if one.metric is not None), ACCURACY)


def of_one_metric(savings: Sequence[Saving]) -> list[Saving]:
    """Return the ones of `savings` with the metric of the first: an axis shows one metric."""
    return [one for one in savings if one.metric == savings[0].metric]


def unit_in_words(metric: Metric) -> str:
    """Return the unit of a drop on an axis: "percentage points", "m", or "" without one."""
    return "percentage points" if metric.is_share else metric.unit


def value_axis(metric: Metric) -> str:
    """Return the label of an axis of values: "accuracy, %", "rmse, m", "perplexity"."""
    unit = "%" if metric.is_share else metric.unit
    return f"{metric.name}, {unit}" if unit else metric.name


def worst_within(metric: Metric, reference: float, tolerance: float) -> float:
    """Return the worst value within `tolerance` of `reference`, in the unit of a drop."""
    sign = 1.0 if metric.higher_is_better else -1.0
    return metric.scale * reference - sign * tolerance


def with_unit(text: str, unit: str) -> str:
    """Return `text`, followed by a comma and the unit if there is one."""
    return f"{text}, {unit}" if unit else text
