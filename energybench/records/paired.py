"""Two models on the same items: what their difference in accuracy shows, and how often it errs.

Only the items count that one model has right and the other wrong: `lost` and `gained` of them.
"""

import math
from dataclasses import dataclass
from functools import cache

CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairedDrop:
    """A drop of accuracy on the same items, in shares of the items or in percentage points."""

    value: float
    low: float
    """Lower end of the `CONFIDENCE` interval."""
    high: float
    p: float
    """Two-sided p-value of "no drop": the exact McNemar test."""


@cache
def paired_drop(lost: int, gained: int, items: int) -> PairedDrop:
    """Return the drop (lost - gained) / items with its interval and its p-value.

    The p-value is the exact one of Q. McNemar (Psychometrika 12, 1947): binomial, given the number
    of items that changed. The interval is the score interval of T. Tango (Statistics in Medicine
    17, 1998, 891-908), widened where needed to that of Clopper and Pearson for lost / (lost +
    gained), given the same number: so it holds 0 wherever p is above 0.05. docs/measuring.md has
    its coverage. Raises `ValueError` for counts below 0 or for more changed items than items.
    """
    from scipy.stats import binomtest

    changed = lost + gained
    if min(lost, gained) < 0 or changed > items or items < 1:
        raise ValueError(f"{lost} lost and {gained} gained of {items} items are no counts of items")
    value = (lost - gained) / items
    low, high = _tango(lost, gained, items)
    p = 1.0
    if changed:
        test = binomtest(lost, changed)
        p = float(test.pvalue)
        exact = test.proportion_ci(CONFIDENCE)
        low = min(low, (2.0 * float(exact.low) - 1.0) * changed / items)
        high = max(high, (2.0 * float(exact.high) - 1.0) * changed / items)
    return PairedDrop(value, low, high, p)


def _tango(lost: int, gained: int, items: int) -> tuple[float, float]:
    """Return the differences at which the score statistic is the normal quantile, either sign."""
    from scipy.optimize import brentq
    from scipy.special import ndtri

    quantile = float(ndtri(0.5 + CONFIDENCE / 2.0))

    def statistic(difference: float) -> float:
        """Tango's z; `gained_share` is the share that is most likely given the difference."""
        b = -lost - gained + (2 * items - lost + gained) * difference
        c = -gained * difference * (1.0 - difference)
        root = math.sqrt(max(0.0, b * b - 8.0 * items * c))
        gained_share = (root - b) / (4.0 * items)
        variance = items * (2.0 * gained_share + difference * (1.0 - difference))
        return (lost - gained - items * difference) / math.sqrt(max(variance, 1e-300))

    value, end = (lost - gained) / items, 1.0 - 1e-12
    low = brentq(lambda d: statistic(d) - quantile, -end, value) if value > -end else -1.0
    high = brentq(lambda d: statistic(d) + quantile, value, end) if value < end else 1.0
    return float(low), float(high)


def chance_within(items: int, drop: float, tolerance: float, changed: float) -> float:
    """Return how often a true drop is observed as at most the tolerance, 0..1.

    `drop` and `tolerance` are in percentage points. `changed` is the share of items, 0..1, that one
    of the two models has right and the other wrong; it is at least the drop's size. The number of
    such items is binomial, and so is how many of them are lost. Raises `ValueError` for a smaller
    `changed`.
    """
    import numpy as np
    from scipy.stats import binom

    share = drop / 100.0
    if not abs(share) <= changed <= 1.0 or changed == 0.0:
        raise ValueError(
            f"a drop of {drop:g} points changes more than {100 * changed:g} % of items"
        )
    most = math.floor(tolerance / 100.0 * items + 1e-9)  # of lost - gained, within the tolerance
    counts = np.arange(items + 1)
    lost = binom.cdf((counts + most) // 2, counts, (changed + share) / (2.0 * changed))
    return float((binom.pmf(counts, items, changed) * lost).sum())
