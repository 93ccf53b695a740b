"""The ratio of two runs' repeats, which are no pairs: its interval and its test."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import variance

from energybench.report.stats import MIN_PAIRS, TAIL, Estimate


@dataclass(frozen=True)
class UnpairedRatio:
    """A ratio of two positive values, each with repeats of its own.

    The interval is Welch's on the logarithms (B. Welch, The Generalization of 'Student's' Problem
    when Several Different Population Variances are Involved, Biometrika 34, 1947).
    """

    value: float
    error: float | None = None
    """Standard error of the logarithm; None with fewer than `MIN_PAIRS` repeats on a side."""
    freedom: float = 0.0
    """Degrees of freedom of `error`."""
    repeats: int = 0
    """Repeats of the side that has fewer."""

    @property
    def estimate(self) -> Estimate:
        """The ratio with its interval, if it has one."""
        from scipy.special import stdtrit

        if self.error is None:
            return Estimate(self.value, None, None, self.repeats)
        half = float(stdtrit(self.freedom, 1.0 - TAIL)) * self.error
        middle = math.log(self.value)
        return Estimate(middle, middle - half, middle + half, self.repeats).exp()

    def p_beyond(self, limit: float) -> float | None:
        """Return the one-sided p-value of "the true ratio is at most `limit`"; None without one."""
        from scipy.special import stdtr

        if self.error is None:
            return None
        away = math.log(self.value / limit)
        if not self.error > 0.0:
            return 0.0 if away > 0.0 else 1.0
        return float(stdtr(self.freedom, -away / self.error))


def unpaired_ratio(value: float, above: Sequence[float], below: Sequence[float]) -> UnpairedRatio:
    """Return the ratio `value` with the spread of both sides' repeats, which are all > 0."""
    fewer = min(len(above), len(below))
    if fewer < MIN_PAIRS or min(*above, *below) <= 0.0:
        return UnpairedRatio(value, repeats=fewer)
    parts = [variance(map(math.log, side)) / len(side) for side in (above, below)]
    total = sum(parts)
    weights = [part**2 / (len(side) - 1) for part, side in zip(parts, (above, below), strict=True)]
    freedom = total**2 / sum(weights) if sum(weights) > 0.0 else float(fewer - 1)
    return UnpairedRatio(value, math.sqrt(total), freedom, fewer)
