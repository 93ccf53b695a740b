"""Which cells a run has, and in which order."""

import random
from collections.abc import Sequence

from energybench.config import Cell
from energybench.registry import MODELS, method_parts


def cells(models: Sequence[str], methods: Sequence[str], seeds: int) -> list[Cell]:
    """Every model x seed x method.

    Each model and seed is a block: its baseline comes first, the other methods in an order that
    the seed shuffles, so that a drift of the machine does not favour one of them.
    """
    result = []
    for model in dict.fromkeys(models):
        MODELS.check(model)
        for seed in range(seeds):
            others = [method for method in dict.fromkeys(methods) if method != "baseline"]
            for method in others:
                method_parts(method)
            random.Random(f"{model}-{seed}").shuffle(others)
            first = ["baseline"] if "baseline" in methods else []
            result += [Cell(model, method, seed) for method in (*first, *others)]
    return result
