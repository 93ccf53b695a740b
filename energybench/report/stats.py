"""Means of paired differences, their confidence intervals, and tests of many of them at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

MIN_PAIRS = 5
"""Fewer pairs have no interval: they say too little about their spread."""
CONFIDENCE = 0.95
TAIL = (1.0 - CONFIDENCE) / 2.0
"""The chance that an interval leaves to either side; the level of one-sided tests."""


def mean_of_all(values: Sequence[float | None]) -> float | None:
    """Return the mean of `values`; None where one of them is not known, or there is none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs, with its interval if there are enough pairs."""

    value: float
    low: float | None
    """Lower end of the `CONFIDENCE` interval; None with fewer than `MIN_PAIRS` pairs."""
    high: float | None
    pairs: int

    @property
    def too_few(self) -> bool:
        """Whether this is a mean of several pairs that are too few for an interval."""
        return self.low is None and self.pairs > 1

    def exp(self) -> "Estimate":
        """Return the geometric mean; call on a mean of logarithms."""
        low = None if self.low is None else _exp(self.low)
        high = None if self.high is None else _exp(self.high)
        return Estimate(_exp(self.value), low, high, self.pairs)

    def log(self) -> "Estimate":
        """Return the mean of logarithms; call on a geometric mean, the inverse of `exp`."""
        low = None if self.low is None else _log(self.low)
        high = None if self.high is None else _log(self.high)
        return Estimate(_log(self.value), low, high, self.pairs)


def means(
    rows: Sequence[Sequence[float]], resolutions: Sequence[float] | None = None
) -> list[Estimate]:
    """Return the mean of each row of paired differences; a row has at least one.

    The interval is Student's (1908): mean ± t x standard error, with n - 1 degrees of freedom.
    `resolutions` has the smallest step of each row's values, 0 where they are continuous: for a
    drop of accuracy one item of the split. Steps make ties, and n equal values have no spread,
    which would say that no other value is possible. All that n equal values show is that others
    have a probability of at most 1 - 0.025^(1/n) (C. Clopper, E. Pearson, Biometrika 26, 1934, for
    0 of n). So half of the interval is never less than that probability times one step. Equal
    values without a step have an interval of width 0.

    docs/measuring.md has the coverage of this interval and of others.
    """
    if any(len(row) == 0 for row in rows):
        raise ValueError("a mean needs at least one difference")
    steps = resolutions or [0.0] * len(rows)
    result = [Estimate(math.fsum(row) / len(row), None, None, len(row)) for row in rows]
    by_length: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        if len(row) >= MIN_PAIRS:
            by_length.setdefault(len(row), []).append(number)
    for numbers in by_length.values():
        halves = _halves(
            [rows[number] for number in numbers], [steps[number] for number in numbers]
        )
        for number, half in zip(numbers, halves, strict=True):
            middle = result[number].value
            result[number] = replace(result[number], low=middle - half, high=middle + half)
    return result


def ratios(
    rows: Sequence[Sequence[tuple[float, float]]], resolutions: Sequence[float] | None = None
) -> list[Estimate]:
    """Return the geometric mean of each row of (numerator, denominator) pairs, all > 0.

    `resolutions` are those of the logarithms, see `means`.
    """
    logs = [[math.log(above / below) for above, below in row] for row in rows]
    return [estimate.exp() for estimate in means(logs, resolutions)]


def crossing(pairs: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Return the numbers n >= 0 at which the interval of the mean of a - n b holds zero.

    `pairs` are (a, b), at least `MIN_PAIRS`. The ends are those of the interval of mean(a)/mean(b),
    0 and infinity where it is open there (E. Fieller, Some Problems in Interval Estimation, J. R.
    Statist. Soc. B 16, 1954); two separate ranges are told as one. None: no such n, so the sign of
    the mean is beyond doubt for all.
    """
    count = len(pairs)
    tops, bottoms = zip(*pairs, strict=True)
    top, bottom = math.fsum(tops) / count, math.fsum(bottoms) / count
    scale = _quantile(count - 1) ** 2 / (count * (count - 1))

    def spread(first: Sequence[float], second: Sequence[float], of: float, to: float) -> float:
        return scale * math.fsum((x - of) * (y - to) for x, y in zip(first, second, strict=True))

    # zero is in the interval where  square n^2 - 2 middle n + rest <= 0
    square = bottom**2 - spread(bottoms, bottoms, bottom, bottom)
    middle = top * bottom - spread(tops, bottoms, top, bottom)
    rest = top**2 - spread(tops, tops, top, top)
    root = math.sqrt(max(0.0, middle**2 - square * rest))
    if square > 0.0:
        low, high = (middle - root) / square, (middle + root) / square
        return None if high < 0.0 else (max(0.0, low), high)
    if rest <= 0.0:
        return 0.0, math.inf
    half = middle + root  # the one root above 0 is rest / half, also where square is 0
    return None if half <= 0.0 else (rest / half, math.inf)


def p_beyond(mean: Estimate, limit: float) -> float | None:
    """Return the one-sided p-value of "the true mean is at most `limit`"; None for no interval.

    It is at most `TAIL` exactly where the interval lies above `limit`. `mean` is an arithmetic
    mean; take the `log` of a geometric one.
    """
    from scipy.special import stdtr

    if mean.low is None:
        return None
    half = mean.value - mean.low
    away = mean.value - limit
    if not half > 0.0:
        return 0.0 if away > 0.0 else 1.0
    freedom = mean.pairs - 1
    return float(stdtr(freedom, -away / half * _quantile(freedom)))


def holm(values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the same order.

    A test whose adjusted value is at most the level is rejected; the chance that any true
    hypothesis among them is rejected is then at most the level, whatever depends on what
    (S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Statist. 6, 1979).
    """
    adjusted = [1.0] * len(values)
    largest = 0.0
    for place, number in enumerate(sorted(range(len(values)), key=lambda one: values[one])):
        largest = max(largest, min(1.0, (len(values) - place) * values[number]))
        adjusted[number] = largest
    return adjusted


def _halves(rows: Sequence[Sequence[float]], steps: Sequence[float]) -> list[float]:
    """Return half of the width of the intervals of rows of one length."""
    import numpy as np

    data = np.asarray(rows, dtype=np.float64)
    count = data.shape[1]
    error = data.std(axis=1, ddof=1) / math.sqrt(count)
    unseen = 1.0 - TAIL ** (1.0 / count)
    halves = np.maximum(_quantile(count - 1) * error, unseen * np.asarray(steps))
    return [float(half) for half in halves]


def _quantile(freedom: int) -> float:
    """Return the quantile of Student's t that leaves `TAIL` above it."""
    from scipy.special import stdtrit  # a tenth of the import of scipy.stats

    return float(stdtrit(freedom, 1.0 - TAIL))


def _exp(value: float) -> float:
    """Return e**x, infinite instead of an overflow: an interval of few pairs can be that wide."""
    return math.exp(value) if value < 709.0 else math.inf


def _log(value: float) -> float:
    """Return the logarithm; -infinity of 0."""
    return math.log(value) if value > 0.0 else -math.inf
