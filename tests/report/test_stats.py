import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from support.differences import STEP, Family, covered, drops, jumps, normal, ties

from energybench.report.stats import (
    MIN_PAIRS,
    TAIL,
    Estimate,
    holm,
    means,
    p_beyond,
    ratios,
)


def test_a_mean_without_an_interval_below_five_pairs() -> None:
    (four,) = means([[1.0, 2.0, 3.0, 6.0]])
    assert four == Estimate(3.0, None, None, 4)
    assert four.too_few
    assert not means([[1.0]])[0].too_few  # no mean
    (five,) = means([[1.0, 2.0, 3.0, 6.0, 3.0]])
    assert not five.too_few
    assert five.low is not None
    assert five.high is not None
    assert five.low < 3.0 < five.high


def test_an_empty_row_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        means([[1.0], []])


def test_ratios_are_geometric_means() -> None:
    (ratio,) = ratios([[(1.0, 2.0), (8.0, 1.0)]])
    assert ratio.value == pytest.approx(2.0)


@pytest.mark.parametrize("count", [5, 6, 12])
def test_without_steps_the_interval_is_students(count: int) -> None:
    row = np.random.default_rng(count).normal(0.3, 0.2, count)
    (estimate,) = means([row.tolist()])
    theirs = scipy_stats.ttest_1samp(row, 0.0).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high))


def test_the_mean_of_ties_lies_within_its_interval() -> None:
    (estimate,) = means([[0.0, 0.0, 0.0, 0.0, 0.17]])
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < 0.0
    assert estimate.high == pytest.approx(0.128, abs=1e-3)  # the mean is 0.034


def test_equal_drops_show_how_rare_another_one_is() -> None:
    (estimate,) = means([[0.5] * MIN_PAIRS], [STEP])
    assert estimate.low is not None
    assert estimate.high is not None
    rare = scipy_stats.binomtest(0, MIN_PAIRS).proportion_ci(0.95).high
    assert estimate.high - 0.5 == pytest.approx(rare * STEP) == pytest.approx(0.5 - estimate.low)
    (flat,) = means([[0.25] * MIN_PAIRS])
    assert (flat.low, flat.value, flat.high) == (0.25, 0.25, 0.25)


def test_a_wild_interval_is_infinite_and_no_error() -> None:
    assert Estimate(0.0, -5000.0, 5000.0, 5).exp() == Estimate(1.0, 0.0, math.inf, 5)
    assert Estimate(1.0, 0.0, math.inf, 5).log() == Estimate(0.0, -math.inf, math.inf, 5)


@pytest.mark.parametrize(
    ("family", "least", "most"),
    [
        (normal(), 0.94, 0.965),
        (drops(0.4, 0.5), 0.94, 0.965),
        (drops(0.2, 0.2), 0.94, 0.97),
        (ties(0.2, 0.6, 0.2, 0.0), 0.94, 1.0),
        (ties(0.1, 0.5, 0.3, 0.1), 0.93, 0.97),
        (jumps((8, 9, 10, 11), (0.4, 0.3, 0.2, 0.1)), 0.94, 0.965),
        (jumps((4, 5, 8), (0.7, 0.2, 0.1)), 0.94, 1.0),
    ],
    ids=lambda value: value.name if isinstance(value, Family) else "",
)
def test_the_interval_holds_its_level(family: Family, least: float, most: float) -> None:
    """6,000 experiments each; docs/measuring.md has the whole table."""
    for pairs in (5, 8):
        data = family.draw(np.random.default_rng(pairs), (6000, pairs))
        found = means(data.tolist(), [family.step] * len(data))
        low = np.array([one.low for one in found])
        high = np.array([one.high for one in found])
        slack = 2.0 * math.sqrt(0.05 * 0.95 / len(data))  # of the 6,000
        assert least - slack <= covered(family, low, high) <= most + slack


@given(rows=st.lists(st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=8), max_size=5))
@settings(deadline=None)
def test_a_row_does_not_feel_the_others(rows: list[list[float]]) -> None:
    together = means(rows)
    for row, estimate in zip(rows, together, strict=True):
        (alone,) = means([row])
        assert estimate.value == alone.value
        ends = pytest.approx((alone.low, alone.high), rel=1e-6, abs=1e-6)
        assert (estimate.low, estimate.high) == ends


def test_the_p_value_is_that_of_the_one_sided_t_test() -> None:
    row = [1.0, 2.0, 3.0, 6.0, 3.0]
    (mean,) = means([row])
    theirs = scipy_stats.ttest_1samp(row, 1.0, alternative="greater").pvalue
    assert p_beyond(mean, 1.0) == pytest.approx(theirs)
    assert mean.low is not None
    assert p_beyond(mean, mean.low) == pytest.approx(TAIL)
    assert p_beyond(means([[1.0, 2.0]])[0], 0.0) is None
    (flat,) = means([[0.25] * 5])
    assert p_beyond(flat, 0.2) == 0.0
    assert p_beyond(flat, 0.25) == 1.0


def test_holms_adjusted_values() -> None:
    """The values of R's `p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")`."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
