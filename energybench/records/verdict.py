"""The verdict on a cell: why it fails its benchmark, in one line, or that it is undecided."""

import math

from energybench.config import CONFIDENT, OBSERVED
from energybench.records.metric import ACCURACY, ROUNDING, Metric
from energybench.records.record import RunRecord


def undecided(record: RunRecord, gate: str = OBSERVED) -> bool:
    """Whether a drop beyond the tolerance leaves the gate `confident` in doubt.

    That is so unless the interval of the drop lies beyond the tolerance; a drop without an interval
    is always in doubt. Under the gate `observed` nothing is.
    """
    if gate != CONFIDENT or record.status != "ok" or record.within_tolerance is not False:
        return False
    paired = record.paired_drop
    return paired is None or paired.low <= record.tolerance + ROUNDING


def failure_text(record: RunRecord, gate: str = OBSERVED) -> str | None:
    """One line that says why the record fails its benchmark; None when it does not fail.

    For example "resnet18 stego seed 0 lost 1.50 pp of accuracy, tolerance 1: baseline 90.00 %
    (540 of 600 test images), here 88.50 % (531); 12 images are classified differently; drop
    1.50 pp [0.20, 2.90], p = 0.08", whose end is known where single items are. `gate` is one of
    `config.GATES`: a cell that is `undecided` does not fail.
    """
    cell = f"{record.model} {record.method} seed {record.seed}"
    if record.status != "ok":
        return f"{cell}: {record.error}"
    if record.test is None or record.reference_value is None or record.within_tolerance:
        return None
    if undecided(record, gate):
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
        + _paired(record, metric)
    )


def without_energy(record: RunRecord) -> str | None:
    """One line that says why the energy of fine-tuning is not known; None where it is."""
    reading = record.main
    if reading is None or reading.why_missing is None:
        return None
    cell = f"{record.model} {record.method} seed {record.seed}"
    return f"{cell} has no energy: {reading.why_missing}"


def _paired(record: RunRecord, metric: Metric) -> str:
    """ "; drop 1.50 pp [0.20, 2.90], p = 0.08"."""
    paired = record.paired_drop
    if paired is None:
        return ""
    p = f"= {paired.p:.2g}" if paired.p >= 0.001 else "< 0.001"
    drop = metric.show_drop(paired.value, sign="")
    return f"; drop {drop} [{paired.low:.2f}, {paired.high:.2f}], p {p}"


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
