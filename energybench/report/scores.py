"""Texts for the metrics of cells, in tables and figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from energybench.records.metric import ACCURACY, Metric
from energybench.records.record import RunRecord
from energybench.report.savings import Saving


@dataclass(frozen=True)
class ScoreColumn:
    """The column of a table that holds the cells' metric, and the one of its drops.

    A table of one metric has its name as the header. In a table of several the header is "metric",
    and each value begins with its own name: "rmse 0.512 m".
    """

    header: str
    named: bool

    def value(self, metric: Metric | None, value: float | None) -> str:
        """A value in the table; "-" for None."""
        if metric is None or value is None:
            return "-"
        return f"{metric.name} {metric.show(value)}" if self.named else metric.show(value)

    def drop(self, metric: Metric | None, drop: float | None) -> str:
        """A drop with its sign and unit, positive where the model is worse; "-" for None."""
        return "-" if metric is None or drop is None else metric.show_drop(drop)


def score_column(records: Iterable[RunRecord]) -> ScoreColumn:
    """The column for `records`; cells without a test fit any column."""
    names = metric_names(records)
    return ScoreColumn(names[0], False) if len(names) == 1 else ScoreColumn("metric", True)


def metric_names(records: Iterable[RunRecord]) -> list[str]:
    """The distinct names of the records' metrics, in their order; accuracy where none is known."""
    names = (record.metric.name for record in records if record.metric is not None)
    return list(dict.fromkeys(names)) or [ACCURACY.name]


def metric_of(records: Iterable[RunRecord]) -> Metric:
    """The first known metric of `records`; accuracy where none is known."""
    return next((one.metric for one in records if one.metric is not None), ACCURACY)


def of_one_metric(savings: Sequence[Saving]) -> list[Saving]:
    """The ones of `savings` with the first one's metric: an axis shows only one."""
    return [one for one in savings if one.metric == savings[0].metric]


def unit_in_words(metric: Metric) -> str:
    """The unit of a drop on an axis: "percentage points", "m", or "" without one."""
    return "percentage points" if metric.is_share else metric.unit


def value_axis(metric: Metric) -> str:
    """The label of an axis of values: "accuracy, %", "rmse, m", "perplexity"."""
    unit = "%" if metric.is_share else metric.unit
    return f"{metric.name}, {unit}" if unit else metric.name


def worst_within(metric: Metric, reference: float, tolerance: float) -> float:
    """The worst value within `tolerance` of `reference`, in the unit of a drop."""
    sign = 1.0 if metric.higher_is_better else -1.0
    return metric.scale * reference - sign * tolerance


def with_unit(text: str, unit: str) -> str:
    """`text` with the unit behind a comma, if there is one."""
    return f"{text}, {unit}" if unit else text
