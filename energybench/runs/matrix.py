"""The cells of a run, their order, and the edges between them."""

import random
from collections.abc import Sequence

from energybench.config import Cell
from energybench.registry import MODELS, is_repeat, method_parts, repeats

PAPER_MODELS = (
    "alexnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "inception_v3",
    "densenet121",
    "vgg16",
    "convnext_base",
)
"""The nine networks of arXiv 2506.01311."""


def check_names(models: Sequence[str], methods: Sequence[str]) -> None:
    """Raise `UsageError` for a model or a method that nobody has registered."""
    for model in models:
        MODELS.check(model)
    for method in methods:
        method_parts(method)


def cells(models: Sequence[str], methods: Sequence[str], seeds: int) -> list[Cell]:
    """List every model x seed x method; names are not checked, see `check_names`.

    Each model and seed is a block. The seed shuffles the methods of a block, the baseline too, so
    that neither a drift of the machine nor a cold start favours any of them.
    """
    result = []
    for model in dict.fromkeys(models):
        for seed in range(seeds):
            block = list(dict.fromkeys(methods))
            random.Random(f"{model}-{seed}").shuffle(block)
            result += [Cell(model, method, seed) for method in block]
    return result


def with_floor(methods: Sequence[str], repeated: int | None) -> list[str]:
    """Return `methods` with as many repeated baselines as asked for; None keeps those they have."""
    if repeated is None:
        return list(methods)
    return [*(method for method in methods if not is_repeat(method)), *repeats(repeated)]


def needs(cell: Cell) -> Cell | None:
    """Return the baseline that `cell` is compared with; None for a baseline.

    The baseline has the same model and seed, and runs on the same kind of machine.
    """
    return None if cell == cell.reference else cell.reference


def with_tolerances(
    matrix: Sequence[Cell], tolerances: Sequence[float]
) -> list[tuple[Cell, float | None]]:
    """Pair every cell with every tolerance, in the metric's unit.

    A baseline, repeated or not, has no drop, so it is listed once, with None for the run's own
    tolerance.
    """
    pairs: list[tuple[Cell, float | None]] = []
    for cell in matrix:
        drops = cell != cell.reference and not is_repeat(cell.method)
        own: Sequence[float | None] = tolerances if drops else (None,)
        pairs += [(cell, tolerance) for tolerance in own]
    return pairs
