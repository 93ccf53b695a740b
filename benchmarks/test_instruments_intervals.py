"""Coverage of intervals of means and of paired drops: the figures in docs/measuring.md.

Run `pytest benchmarks/test_instruments_intervals.py -s` to print it; every draw is seeded.
"""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats
from support.differences import FAMILIES, Family, covered
from tabulate import tabulate

from energybench.records.paired import paired_drop
from energybench.report.stats import TAIL, means

PAIRS = (5, 6, 8, 12)
EXPERIMENTS = 8_000
ITEMS = (297, 600, 1000)
SHARES = (
    (0.003, 0.003),
    (0.01, 0.005),
    (0.02, 0.01),
    (0.02, 0.02),
    (0.01, 0.0),
    (0.05, 0.02),
    (0.001, 0.0),
)
"""Shares of the images that one model loses and gains against the other."""
Ends = tuple[np.ndarray, np.ndarray]


def ours(data: np.ndarray, step: float) -> Ends:
    """Return the interval of the report."""
    found = means(data.tolist(), [step] * len(data))
    return np.array([one.low for one in found]), np.array([one.high for one in found])


def student(data: np.ndarray, step: float) -> Ends:
    """Return the same without a least width."""
    return ours(data, 0.0)


def bootstrap(data: np.ndarray, step: float) -> Ends:
    """Studentized (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, 12.5)."""
    count = data.shape[1]
    places = np.random.default_rng(20250601).integers(0, count, (1999, count))
    weights = np.stack([np.bincount(row, minlength=count) for row in places], axis=1)
    mean = data.mean(axis=1, keepdims=True)
    away = data - mean
    found = away @ weights / count
    variance = (away**2 @ weights - count * found**2) / (count - 1)
    flat = variance <= 1e-12 * (away**2).sum(axis=1, keepdims=True)
    t = np.where(flat, 0.0, found / np.sqrt(np.where(flat, 1.0, variance) / count))
    below, above = np.quantile(t, [TAIL, 1.0 - TAIL], axis=1)
    error = data.std(axis=1, ddof=1) / math.sqrt(count)
    return mean[:, 0] - above * error, mean[:, 0] - below * error


def sign_flips(data: np.ndarray, step: float) -> Ends:
    """Inverts the test that flips signs: order statistics of the means of all subsets.

    J. Hartigan, Using Subsample Values as Typical Values, JASA 64, 1969. With five pairs, none of
    the 32 flips is rare enough: the interval is the whole line.
    """
    count = data.shape[1]
    subsets = np.array(list(product((0.0, 1.0), repeat=count)))[1:].T
    rank = math.floor(TAIL * (subsets.shape[1] + 1))
    if rank < 1:
        return np.full(len(data), -math.inf), np.full(len(data), math.inf)
    sums = np.sort(data @ (subsets / subsets.sum(axis=0)), axis=1)
    return sums[:, rank - 1], sums[:, -rank]


WAYS: dict[str, Callable[[np.ndarray, float], Ends]] = {
    "studentized bootstrap": bootstrap,
    "sign flips": sign_flips,
    "t": student,
    "t, least width": ours,
}


def coverage(family: Family, pairs: int) -> list[float]:
    """Share of the experiments in which each of `WAYS` holds the true mean."""
    data = family.draw(np.random.default_rng(pairs), (EXPERIMENTS, pairs))
    shares = []
    for way in WAYS.values():
        ends = [way(part, family.step) for part in np.array_split(data, 20)]
        low, high = (np.concatenate(side) for side in zip(*ends, strict=True))
        shares.append(covered(family, low, high))
    return shares


def test_coverage_of_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    """The interval that the report takes is the closest to its level where bounds exist."""
    rows = []
    for family in FAMILIES:
        by_pairs = [coverage(family, pairs) for pairs in PAIRS]
        cells = [
            " ".join(f"{100 * shares[way]:.1f}" for shares in by_pairs) for way in range(len(WAYS))
        ]
        rows.append([family.name, *cells])
        if family.name == "normal":
            level = [shares[-1] for shares in by_pairs]
            assert level == pytest.approx([scipy_stats.norm.cdf(1.96) * 2 - 1] * 4, abs=0.01)
    with capsys.disabled():
        print("\n" + tabulate(rows, ["differences", *WAYS], "github"))


def test_coverage_of_paired_drops(capsys: pytest.CaptureFixture[str]) -> None:
    """No setting falls below its level by more than the noise of 20,000 experiments."""
    rng = np.random.default_rng(0)
    rows = []
    for items, (lost, gained) in product(ITEMS, SHARES):
        draws = rng.multinomial(items, [lost, gained, 1.0 - lost - gained], 20_000)
        kinds, counts = np.unique(draws[:, :2], axis=0, return_counts=True)
        found = [paired_drop(b, c, items) for b, c in kinds.tolist()]
        held = [one.low - 1e-12 <= lost - gained <= one.high + 1e-12 for one in found]
        share = float(counts[held].sum() / counts.sum())
        rows.append([items, f"{100 * lost:g} %", f"{100 * gained:g} %", f"{100 * share:.1f}"])
        assert share > 0.945
    with capsys.disabled():
        print("\n" + tabulate(rows, ["images", "lost", "gained", "covered, %"], "github"))
