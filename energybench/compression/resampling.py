"""How far the setting that a search finds depends on the validation items that it was tried on."""

from collections.abc import Sequence

from torch import Tensor

from energybench.records.metric import ACCURACY, ROUNDING, Metric

RESAMPLES = 1999
CONFIDENCE = 0.95
_SEED = 20250601


def setting_interval(
    metric: Metric,
    reference: Tensor | None,
    tried: Sequence[tuple[float, Tensor | None]],
    tolerance: float,
) -> tuple[float, float] | None:
    """Return the 95 % interval of the strongest setting within `tolerance`, over resampled items.

    `tried` has (setting, right) with the weakest setting first; `reference` and each `right` are
    (items,) bool, the answers of the untouched model and those with that setting. A resample draws
    as many items with replacement (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993,
    chapter 13: percentiles); the search's own rule then takes the last of the settings before the
    first that exceeds the tolerance, 0 for none. Items that all settings answer alike are counted
    together, so that the cost does not grow with the items. Every call draws the same numbers.

    Returns None without an answer for every item, for another metric than accuracy, and where
    nothing was tried.
    """
    import numpy as np

    answers = [reference, *(right for _, right in tried)]
    known = [right for right in answers if right is not None]
    if metric != ACCURACY or not tried or len(known) < len(answers):
        return None
    table = np.stack([right.cpu().numpy().astype(bool) for right in known])
    items = table.shape[1]
    codes = np.zeros(items, dtype=np.int64)
    for row in table:  # equal codes for items that all models so far answer alike
        codes = np.unique(2 * codes + row, return_inverse=True)[1]
    _, places, counts = np.unique(codes, return_index=True, return_counts=True)
    kinds = table[:, places]
    draws = np.random.default_rng(_SEED).multinomial(items, counts / items, RESAMPLES)
    rates = draws @ kinds.T.astype(np.float64) / items
    drops = metric.scale * (rates[:, :1] - rates[:, 1:])
    reached = np.cumprod(drops <= tolerance + ROUNDING, axis=1).sum(axis=1)
    settings = np.array([0.0, *(setting for setting, _ in tried)])[reached]
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(settings, [tail, 1.0 - tail], method="inverted_cdf")
    return float(low), float(high)
