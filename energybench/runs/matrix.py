"""The cells of a run, their order, and the edges between them."""

import random
from collections.abc import Sequence

from energybench.config import Cell
from energybench.registry import MODELS, method_parts

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

    Each model and seed is a block. The baseline comes first. The seed shuffles the other methods,
    so that a drift of the machine favours none of them.
    """
    result = []
    for model in dict.fromkeys(models):
        for seed in range(seeds):
            others = [method for method in dict.fromkeys(methods) if method != "baseline"]
            random.Random(f"{model}-{seed}").shuffle(others)
            first = ["baseline"] if "baseline" in methods else []
            result += [Cell(model, method, seed) for method in (*first, *others)]
    return result


def needs(cell: Cell) -> Cell | None:
    """Return the baseline whose outcome the job of `cell` needs; None for a baseline.

    The baseline has the same model and seed, and runs on the same kind of machine.
    """
    return None if cell == cell.reference else cell.reference


def with_tolerances(
    matrix: Sequence[Cell], tolerances: Sequence[float]
) -> list[tuple[Cell, float | None]]:
    """Pair every cell with every tolerance, in the metric's unit.

    A baseline has no drop, so it is listed once, with None for the run's own tolerance.
    """
    pairs: list[tuple[Cell, float | None]] = []
    for cell in matrix:
        own: Sequence[float | None] = (None,) if cell == cell.reference else tolerances
        pairs += [(cell, tolerance) for tolerance in own]
    return pairs
