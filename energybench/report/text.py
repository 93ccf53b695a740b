"""Numbers as text for people."""

import math
from collections.abc import Callable, Sequence

from energybench.records.metric import Metric
from energybench.records.record import RunRecord
from energybench.report.stats import Estimate

TOO_FEW = "too few for an interval"
"""Stands beside every mean of two to four seeds."""
BEYOND = "✗"
"""Stands after a drop beyond the tolerance."""
BEYOND_LEGEND = f"{BEYOND} marks a drop beyond the tolerance."


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share, 0..1, in percent; "-" for None."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def points(value: float | None) -> str:
    """Return percentage points with their sign; "-" for None."""
    return "-" if value is None else f"{value:+.2f} pp"


def saving(ratio: Estimate | None) -> str:
    """Return the energy saved, in percent, with its interval: "+34.0 % [30.1, 37.5]"; "-" for None.

    `ratio` is the ratio of the energies.
    """
    if ratio is None:
        return "-"
    text = f"{100 * (1 - ratio.value):+.1f} %"
    return text + interval(ratio, lambda end: f"{100 * (1 - end):+.1f}", turned=True)


def times(ratio: Estimate | None) -> str:
    """Return a ratio with its interval: "0.660 [0.625, 0.699]"; "-" for None."""
    if ratio is None:
        return "-"
    return f"{ratio.value:.3f}" + interval(ratio, lambda end: f"{end:.3f}")


def interval(mean: Estimate, show: Callable[[float], str], turned: bool = False) -> str:
    """Return the text after a mean: " [0.625, 0.699]", or that it has `TOO_FEW` seeds.

    `show` gives the text of an end; `turned` where a larger end of `mean` reads as a smaller
    number. A single seed is no mean and has "".
    """
    if mean.low is None or mean.high is None:
        return f" ({TOO_FEW})" if mean.too_few else ""
    ends = (mean.high, mean.low) if turned else (mean.low, mean.high)
    return f" [{show(ends[0])}, {show(ends[1])}]"


def percent_change(ratio: Estimate) -> Estimate:
    """Return a ratio as the change in percent: 1.1 is 10."""

    def change(value: float) -> float:
        return 100.0 * (value - 1.0)

    low, high = (None if end is None else change(end) for end in (ratio.low, ratio.high))
    return Estimate(change(ratio.value), low, high, ratio.pairs)


def change_text(estimate: Estimate, metric: Metric | None) -> str:
    """Return the change of a quantity: "+7.30 % [+6.10, +8.40]", or "-2.00 pp" for an accuracy.

    `metric` is None for a cost.
    """
    sign = -1.0 if metric is not None and metric.higher_is_better else 1.0
    digits = ".2f" if metric is None or metric.is_share else ".3g"
    unit = "%" if metric is None else metric.unit
    text = f"{sign * estimate.value:+{digits}} {unit}".rstrip()
    return text + interval(estimate, lambda end: f"{sign * end:+{digits}}", turned=sign < 0.0)


def setting_ends(ends: tuple[float, float] | None) -> str:
    """Return the text after a searched setting: " [16, 18]"; "" where no interval is known."""
    return "" if ends is None else f" [{ends[0]:g}, {ends[1]:g}]"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, a whole one in full; "-" for None.

    From a thousand to a billion it has no exponent: 11473.2 is "11500".
    """
    if value is None:
        return "-"
    whole = math.isfinite(value) and value == int(value)
    short = f"{value:.{digits}g}"
    if not whole and 1e3 <= abs(value) < 1e9:
        short = f"{float(short):.0f}"
    return f"{value:.0f}" if whole else short


def status_text(record: RunRecord) -> str:
    """Return "ok", "failed: out of memory" or "interrupted (SIGTERM)"."""
    if record.status == "ok" or record.error is None:
        return record.status
    if record.error.startswith(record.status):
        return record.error
    return f"{record.status}: {record.error}"


def attempt_words(records: Sequence[RunRecord]) -> list[str]:
    """Return "2nd attempt" if a disturbed cell ran again, with its seed where there are several."""
    return [
        f"{_ordinal(len(record.attempts) + 1)} attempt"
        + (f" (seed {record.seed})" if len(records) > 1 else "")
        for record in records
        if record.attempts
    ]


def _ordinal(count: int) -> str:
    ending = "th" if count % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(count % 10)
    return f"{count}{ending or 'th'}"


def size(count: float) -> str:
    """Return a number of bytes with a decimal prefix: "26.5 MB"."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
