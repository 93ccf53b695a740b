"""The reason for which a cell fails its benchmark, in one line."""

import math

from energybench.records.metric import ACCURACY, Metric
from energybench.records.record import RunRecord


def failure_text(record: RunRecord) -> str | None:
    """One line that says why the record fails its benchmark; None when it does not fail.

    For example "resnet18 stego seed 0 lost 1.50 pp of accuracy, tolerance 1: baseline 90.00 %
    (540 of 600 test images), here 88.50 % (531); 12 images are classified differently".
    """
    cell = f"{record.model} {record.method} seed {record.seed}"
    if record.status != "ok":
        return f"{cell}: {record.error}"
    if record.test is None or record.reference_value is None or record.within_tolerance:
        return None
    test, metric = record.test, record.test.metric
    nouns = record.dataset.items
    right, reference_right = (
        _right(metric, value, test.items) for value in (test.value, record.reference_value)
    )
    differ = "differ from the baseline's" if right is None else "are classified differently"
    return (
        f"{cell} {_change(metric, metric.drop(record.reference_value, test.value))}, "
        f"tolerance {record.tolerance:g}: baseline {metric.show(record.reference_value)} "
        f"({_of(reference_right)}{test.items} test {nouns}), "
        f"here {metric.show(test.value)}{'' if right is None else f' ({right})'}"
        + ("" if record.disagreements is None else f"; {record.disagreements} {nouns} {differ}")
    )


def _of(count: int | None) -> str:
    return "" if count is None else f"{count} of "


def _change(metric: Metric, drop: float) -> str:
    """ "lost 1.50 pp of accuracy", "raised rmse by 0.3"."""
    if metric.higher_is_better:
        return f"lost {metric.show_drop(drop, sign='')} of {metric.name}"
    return f"raised {metric.name} by {metric.show_drop(drop, sign='')}"


def _right(metric: Metric, value: float, items: int) -> int | None:
    """The number of `items` that are right; None where the metric does not count them."""
    counted = metric == ACCURACY and math.isfinite(value * items)
    return round(value * items) if counted else None
