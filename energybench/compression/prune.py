"""Global magnitude pruning: zero the weights of least absolute value in the whole network.

S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural
Networks" (arXiv 1506.02626), with one threshold for all layers, as
`torch.nn.utils.prune.global_unstructured` with `L1Unstructured` has it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from energybench.compression.base import MASK, Score
from energybench.compression.search import strongest
from energybench.compression.weights import (
    Originals,
    covered_weights,
    parameter_count,
    require_weights,
)
from energybench.record import CompressionReport

EVALUATIONS = 8
"""Seven of bisection over 1..99 %, and a neighbour."""


def thresholds(weights: Mapping[str, Tensor], counts: Sequence[int]) -> list[float]:
    """For each of `counts` (1..number of elements), the count-th smallest magnitude.

    All magnitudes are concatenated and sorted once for all counts: NumPy's vectorized sort takes
    as long as two selections, and the eight trials need eight.
    """
    double = any(weight.dtype == torch.float64 for weight in weights.values())
    sizes = [weight.numel() for weight in weights.values()]
    magnitudes = torch.empty(sum(sizes), dtype=torch.float64 if double else torch.float32)
    for part, weight in zip(magnitudes.split(sizes), weights.values(), strict=True):
        part.copy_(weight.detach().flatten())
    ascending: np.ndarray = magnitudes.abs_().numpy()
    ascending.sort()
    return [float(ascending[count - 1]) for count in counts]


def smallest(weights: Mapping[str, Tensor], count: int, threshold: float) -> dict[str, Tensor]:
    """Bool masks that are true for the `count` elements of least magnitude over all `weights`.

    `threshold` is the count-th smallest magnitude. Of the elements equal to it the first ones (in
    the order of `weights`, row-major) are taken, so that exactly `count` are true.
    """
    masks = {name: weight.detach().abs() < threshold for name, weight in weights.items()}
    missing = count - sum(int(mask.count_nonzero()) for mask in masks.values())
    for name, weight in weights.items():
        if missing == 0:
            break
        ties = (weight.detach().abs() == threshold).nonzero()[:missing]
        masks[name][ties.unbind(dim=1)] = True
        missing -= len(ties)
    return masks


class Prune:
    """Zeroes as large a fraction of the covered weights as the tolerance allows, and keeps them.

    The masks (one byte per covered weight) live here: the model has no buffers, hooks or
    parametrizations for them, and its forward pass is that of the dense network.
    """

    name = "prune"
    stage = MASK

    def __init__(self) -> None:
        self._masks: dict[str, Tensor] = {}

    def compress(self, model: nn.Module, score: Score, tolerance_pp: float) -> CompressionReport:
        """Prune the largest fraction within `tolerance_pp`; {"fraction": f} in the report.

        Fractions are whole percents of the covered weights, 0.01..0.99. The compression rate is
        the number of pruned weights over that of all parameters. Raises `CellError` for a model
        without covered weights, or with one not finite.
        """
        weights = covered_weights(model)
        require_weights(self.name, weights)
        total = sum(weight.numel() for weight in weights.values())
        counts = {percent / 100: round(percent / 100 * total) for percent in range(1, 100)}
        counts = {fraction: count for fraction, count in counts.items() if count}
        trial = _Pruning(weights, counts)
        found = strongest(model, score, tolerance_pp, list(counts), trial, EVALUATIONS)
        fraction = found.setting or 0.0
        self._masks = trial.masks if fraction else {}
        rate = counts.get(fraction, 0) / parameter_count(model)
        return found.report(self.name, {"fraction": fraction}, rate)

    @torch.no_grad()
    def after_step(self, model: nn.Module) -> None:
        """Set the pruned weights back to zero."""
        if not self._masks:
            return
        weights = covered_weights(model)
        for name, mask in self._masks.items():
            weights[name].masked_fill_(mask, 0.0)

    def finalize(self, model: nn.Module) -> None:
        """Set the pruned weights to zero."""
        self.after_step(model)


class _Pruning:
    """The trial of a fraction; `masks` are those of the one applied last."""

    def __init__(self, weights: dict[str, nn.Parameter], counts: dict[float, int]) -> None:
        self.masks: dict[str, Tensor] = {}
        self._weights = weights
        limits = thresholds(weights, list(counts.values()))
        self._cuts = dict(zip(counts, zip(counts.values(), limits, strict=True), strict=True))
        self._originals = Originals(weights)

    @torch.no_grad()
    def apply(self, setting: float) -> None:
        self.masks = smallest(self._weights, *self._cuts[setting])
        for name, mask in self.masks.items():
            self._weights[name].masked_fill_(mask, 0.0)

    def restore(self) -> None:
        self._originals.restore()
