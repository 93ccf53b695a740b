import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from energybench.report.stats import (
    CONFIDENCE,
    MIN_PAIRS,
    RESAMPLES,
    Estimate,
    means,
    ratios,
    studentized,
)


def test_a_mean_without_an_interval_below_five_pairs() -> None:
    (four,) = means([[1.0, 2.0, 3.0, 6.0]])
    assert four == Estimate(3.0, None, None, 4)
    (five,) = means([[1.0, 2.0, 3.0, 6.0, 3.0]])
    assert five.low is not None
    assert five.high is not None
    assert five.low < 3.0 < five.high


def test_an_empty_row_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        means([[1.0], []])


def test_ratios_are_geometric_means() -> None:
    (ratio,) = ratios([[(1.0, 2.0), (8.0, 1.0)]])
    assert ratio.value == pytest.approx(2.0)


def test_equal_differences_have_an_interval_of_no_width() -> None:
    (estimate,) = means([[0.25] * MIN_PAIRS])
    assert (estimate.low, estimate.value, estimate.high) == (0.25, 0.25, 0.25)


def test_a_wild_interval_is_infinite_and_no_error() -> None:
    assert Estimate(0.0, -5000.0, 5000.0, 5).exp() == Estimate(1.0, 0.0, math.inf, 5)


@pytest.mark.parametrize("count", [5, 6, 9, 30])
def test_the_bootstrap_agrees_with_scipys(count: int) -> None:
    """SciPy resamples the same places; its bootstrap distribution of Student's t is ours."""
    row = np.random.default_rng(count).normal(0.3, 0.2, count)

    def student(sample: np.ndarray, axis: int = -1) -> np.ndarray:
        error = sample.std(axis=axis, ddof=1) / math.sqrt(count)
        flat = error < 1e-12  # a resample of one value only
        away = sample.mean(axis=axis) - row.mean()
        return np.where(flat, 0.0, away / np.where(flat, 1.0, error))

    theirs = scipy_stats.bootstrap(
        (row,),
        student,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(20250601),
    )
    ours = studentized(row[None, :])[0]
    assert np.sort(ours) == pytest.approx(np.sort(theirs.bootstrap_distribution), abs=1e-9)
    (estimate,) = means([row.tolist()])
    error = row.std(ddof=1) / math.sqrt(count)
    low, high = theirs.confidence_interval
    assert estimate.low == pytest.approx(row.mean() - high * error, abs=1e-9)
    assert estimate.high == pytest.approx(row.mean() - low * error, abs=1e-9)


@pytest.mark.parametrize("count", [5, 8, 12])
def test_the_interval_covers_the_true_ratio_at_its_level(count: int) -> None:
    """1,000 experiments of paired runs: the noise of a seed, then that of the measurement."""
    rng = np.random.default_rng(7)
    truth = 0.66
    rows = []
    for _ in range(1000):
        base = 1000.0 * np.exp(rng.normal(0.0, 0.3, count))  # some seeds train longer, in both
        ours = truth * base * np.exp(rng.normal(0.0, 0.1, count))
        rows.append(list(zip(ours.tolist(), base.tolist(), strict=True)))
    estimates = ratios(rows)
    covered = sum(one.low <= truth <= one.high for one in estimates if one.low and one.high)
    assert 930 <= covered <= 970


@given(rows=st.lists(st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=8), max_size=5))
@settings(deadline=None)
def test_a_row_does_not_feel_the_others(rows: list[list[float]]) -> None:
    together = means(rows)
    for row, estimate in zip(rows, together, strict=True):
        (alone,) = means([row])
        assert estimate.value == alone.value
        ends = pytest.approx((alone.low, alone.high), rel=1e-6, abs=1e-6)
        assert (estimate.low, estimate.high) == ends
