"""Means of paired differences, and their confidence intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

MIN_PAIRS = 5
"""Fewer pairs have no interval: resampling cannot estimate their spread."""
CONFIDENCE = 0.95
RESAMPLES = 1999
_SEED = 20250601


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs, with its interval if there are enough pairs."""

    value: float
    low: float | None
    """Lower end of the `CONFIDENCE` interval; None with fewer than `MIN_PAIRS` pairs."""
    high: float | None
    pairs: int

    def exp(self) -> "Estimate":
        """Return the geometric mean; call on a mean of logarithms."""
        low = None if self.low is None else _exp(self.low)
        high = None if self.high is None else _exp(self.high)
        return Estimate(_exp(self.value), low, high, self.pairs)


def means(rows: Sequence[Sequence[float]]) -> list[Estimate]:
    """Return the mean of each row of paired differences; a row has at least one.

    The interval is the studentized bootstrap (B. Efron, R. Tibshirani: An Introduction to the
    Bootstrap, 1993, section 12.5). It holds its level from five pairs on; the percentile and BCa
    intervals cover the mean in 81 to 87 % of samples of five or six pairs, instead of 95 %. Every
    call uses the same resamples, so equal rows give equal intervals.
    """
    if any(len(row) == 0 for row in rows):
        raise ValueError("a mean needs at least one difference")
    result = [Estimate(math.fsum(row) / len(row), None, None, len(row)) for row in rows]
    by_length: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        if len(row) >= MIN_PAIRS:
            by_length.setdefault(len(row), []).append(number)
    for numbers in by_length.values():
        found = _intervals([rows[number] for number in numbers])
        for number, (low, high) in zip(numbers, found, strict=True):
            result[number] = replace(result[number], low=low, high=high)
    return result


def ratios(rows: Sequence[Sequence[tuple[float, float]]]) -> list[Estimate]:
    """Return the geometric mean of each row of (numerator, denominator) pairs, all > 0."""
    logs = [[math.log(above / below) for above, below in row] for row in rows]
    return [estimate.exp() for estimate in means(logs)]


def _intervals(rows: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return the studentized intervals of rows of one length, all on the same resamples."""
    import numpy as np

    data = np.asarray(rows, dtype=np.float64)
    middle = data.mean(axis=1)
    error = data.std(axis=1, ddof=1) / math.sqrt(data.shape[1])
    tail = (1.0 - CONFIDENCE) / 2.0
    below, above = np.quantile(studentized(data), [tail, 1.0 - tail], axis=1)
    lows, highs = middle - above * error, middle - below * error
    return [(float(low), float(high)) for low, high in zip(lows, highs, strict=True)]


def studentized(data: Any) -> Any:
    """Return (resample's mean - row's mean) / resample's standard error, by row and resample.

    `data` has shape (rows, values). A resample draws as many values with replacement, the same
    columns in every row. The result is 0 for a resample that draws a single value again and again.
    The counts of the draws give sums and sums of squares as matrix products, without a copy of
    `data` per resample.
    """
    import numpy as np

    count = data.shape[1]
    places = np.random.default_rng(_SEED).integers(0, count, (RESAMPLES, count))
    offsets = places + count * np.arange(RESAMPLES)[:, None]
    taken = np.bincount(offsets.ravel(), minlength=RESAMPLES * count)
    weights = taken.reshape(RESAMPLES, count).T.astype(np.float64)

    away = data - data.mean(axis=1, keepdims=True)
    mean = away @ weights / count
    variance = (away**2 @ weights - count * mean**2) / (count - 1)
    flat = variance <= 1e-12 * (away**2).sum(axis=1, keepdims=True)  # only by rounding
    return np.where(flat, 0.0, mean / np.sqrt(np.where(flat, 1.0, variance) / count))


def _exp(value: float) -> float:
    """Return e**x, infinite instead of an overflow: an interval of few pairs can be that wide."""
    return math.exp(value) if value < 709.0 else math.inf
