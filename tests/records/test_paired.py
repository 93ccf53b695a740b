import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from energybench.records.paired import chance_within, paired_drop


def test_the_p_value_is_the_exact_mcnemar_test() -> None:
    assert paired_drop(12, 3, 600).p == pytest.approx(0.0352, abs=1e-4)
    assert paired_drop(3, 12, 600).p == paired_drop(12, 3, 600).p
    assert paired_drop(0, 0, 600).p == 1.0


def test_the_interval_is_tangos_where_that_is_the_wider_one() -> None:
    """At its upper end the score statistic is -1.96, with the likeliest shares under that drop."""
    lost, gained, items = 9, 3, 600
    high = paired_drop(lost, gained, items).high

    def unlikely(share: float) -> float:
        """Minus the log likelihood with `share` gained and `share + high` lost."""
        rest = 1.0 - 2.0 * share - high
        counts = (lost, gained, items - lost - gained)
        return -float(np.dot(counts, np.log([share + high, share, rest])))

    share = minimize_scalar(unlikely, bounds=(1e-9, 0.3), options={"xatol": 1e-9}).x
    variance = items * (2.0 * share + high * (1.0 - high))
    score = (lost - gained - items * high) / math.sqrt(variance)
    assert score == pytest.approx(NormalDist().inv_cdf(0.025), abs=1e-3)


@pytest.mark.parametrize("lost", range(9))
def test_the_interval_holds_zero_where_the_test_cannot_tell(lost: int) -> None:
    for gained in range(9):
        found = paired_drop(lost, gained, 600)
        assert found.low <= found.value <= found.high
        if found.p > 0.05:
            assert found.low <= 0.0 <= found.high
        mirrored = paired_drop(gained, lost, 600)
        assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-9)


def test_no_changed_item_leaves_room_for_some() -> None:
    found = paired_drop(0, 0, 600)
    assert (found.low, found.high) == pytest.approx((-0.0064, 0.0064), abs=1e-4)


def test_all_items_lost() -> None:
    assert paired_drop(10, 0, 10).high == pytest.approx(1.0)
    assert paired_drop(0, 10, 10).low == pytest.approx(-1.0)


@pytest.mark.parametrize(("lost", "gained"), [(-1, 0), (300, 301)])
def test_what_are_no_counts(lost: int, gained: int) -> None:
    with pytest.raises(ValueError, match="no counts of items"):
        paired_drop(lost, gained, 600)


@pytest.mark.parametrize(("lost", "gained"), [(0.01, 0.005), (0.01, 0.0)])
def test_the_interval_covers_the_true_drop(lost: float, gained: float) -> None:
    """2,000 experiments of 600 images; docs/measuring.md has more."""
    rng = np.random.default_rng(1)
    counts = rng.multinomial(600, [lost, gained, 1.0 - lost - gained], 2000).tolist()
    found = [paired_drop(b, c, 600) for b, c, _ in counts]
    covered = sum(one.low <= lost - gained <= one.high for one in found)
    assert covered >= 0.945 * len(found)
    assert binomtest(covered, len(found), 0.95, alternative="less").pvalue > 0.01


def test_a_drop_of_the_tolerance_passes_a_search_almost_half_of_the_time() -> None:
    """297 images: one point is two images. Of them 3 % change between the two models."""
    assert chance_within(297, drop=1.0, tolerance=1.0, changed=0.03) == pytest.approx(
        0.44, abs=5e-3
    )


def test_half_a_drop_fails_a_gate_now_and_then() -> None:
    """600 images, of which 1.5 to 3 % change."""
    fails = [1.0 - chance_within(600, 0.5, 1.0, changed) for changed in (0.015, 0.03)]
    assert fails == pytest.approx([0.12, 0.20], abs=5e-3)


def test_what_is_no_chance() -> None:
    with pytest.raises(ValueError, match="changes more than"):
        chance_within(600, drop=1.0, tolerance=1.0, changed=0.005)
    assert chance_within(100, drop=0.0, tolerance=1.0, changed=1e-9) == pytest.approx(1.0)
