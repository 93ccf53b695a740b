"""Paired differences as runs have them, with their true means: what intervals are tried on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

STEP = 1 / 6
"""Percentage points of one image in 600."""


@dataclass(frozen=True)
class Family:
    """One kind of differences; `draw(rng, (experiments, pairs))` returns an array of that shape."""

    name: str
    draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
    mean: float
    step: float = 0.0


def normal() -> Family:
    return Family("normal", lambda rng, shape: rng.normal(0.3, 1.0, shape), 0.3)


def drops(mean: float, spread: float) -> Family:
    """Normal drops, rounded to whole images."""
    places = np.arange(-200, 201)

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return STEP * np.round(rng.normal(mean, spread, shape) / STEP)

    from scipy.special import ndtr

    edges = ndtr(((places[:, None] + [-0.5, 0.5]) * STEP - mean) / spread)
    truth = float((places * STEP * (edges[:, 1] - edges[:, 0])).sum())
    return Family(f"drops, mean {mean:g} pp, sd {spread:g}", draw, truth, STEP)


def ties(*chances: float) -> Family:
    """Drops of -1, 0, 1 and 2 images with these chances."""
    values = STEP * np.arange(-1, 3)

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        return rng.choice(values, shape, p=chances)

    shares = " / ".join(f"{chance:g}" for chance in chances)
    return Family(f"ties, -1 / 0 / 1 / 2 images: {shares}", draw, float(values @ chances), STEP)


def jumps(epochs: Sequence[int], chances: Sequence[float], base: bool = True) -> Family:
    """Logarithms of energy ratios: epochs of early stopping x 2 % of noise.

    `base`: whether the baseline's epochs vary as the method's do, or are the first of `epochs`.
    """
    logs = np.log(epochs)

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        ours = rng.choice(logs, shape, p=chances)
        theirs = rng.choice(logs, shape, p=chances) if base else logs[0]
        logs_of_ratios: np.ndarray = ours - theirs + rng.normal(0.0, 0.02, shape)
        return logs_of_ratios

    truth = 0.0 if base else float(logs @ np.asarray(chances) - logs[0])
    shares = ", ".join(f"{e} ({c:g})" for e, c in zip(epochs, chances, strict=True))
    whose = "of both" if base else "of the method alone"
    return Family(f"epochs {whose}: {shares}", draw, truth)


FAMILIES = (
    normal(),
    drops(0.4, 0.5),
    drops(0.2, 0.2),
    drops(0.05, 0.1),
    ties(0.2, 0.6, 0.2, 0.0),
    ties(0.1, 0.7, 0.2, 0.0),
    ties(0.1, 0.5, 0.3, 0.1),
    ties(0.0, 0.8, 0.2, 0.0),
    jumps((7, 8, 9, 10, 11, 12), (0.25, 0.25, 0.2, 0.15, 0.1, 0.05)),
    jumps((8, 9, 10, 11), (0.4, 0.3, 0.2, 0.1)),
    jumps((4, 5, 8), (0.7, 0.2, 0.1)),
    jumps((8, 9, 10, 11), (0.4, 0.3, 0.2, 0.1), base=False),
    jumps((4, 5, 8), (0.7, 0.2, 0.1), base=False),
)


def covered(family: Family, low: np.ndarray, high: np.ndarray) -> float:
    """The share of intervals that hold the family's true mean."""
    slack = 1e-9
    return float(((low <= family.mean + slack) & (family.mean - slack <= high)).mean())
