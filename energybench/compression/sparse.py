"""2:4 sparsity: of every four consecutive weights of an input row, the two smallest are zero.

Sparse tensor cores, which NVIDIA GPUs have since Ampere, execute this pattern at up to twice the
speed of dense weights: A. Mishra et al., "Accelerating Sparse Deep Neural Networks" (arXiv
2104.08378). Training stays dense and holds the zeros; `realize` moves trained layers to these
cores.
"""

from collections.abc import Iterator
from itertools import combinations

import torch
from torch import Tensor, nn

from energybench.compression.base import MASK, Score
from energybench.compression.search import strongest
from energybench.compression.weights import (
    HoldsZeros,
    Originals,
    Zeros,
    covered_weights,
    parameter_count,
    require_weights,
    shared_notes,
    zero_count,
    zero_unless,
)
from energybench.records.record import CompressionReport

EVALUATIONS = 9
"""Bisection over up to 255 layers, and a neighbour."""
GROUP, PRUNED = 4, 2
PART = 1 << 20
"""Weights that are masked at a time."""
_REALIZED_DTYPES = (torch.float16, torch.bfloat16)
_REALIZED_MULTIPLE = 64
"""Rows and columns in multiples of this suit every backend of PyTorch's sparse tensors."""


def keeps_of_four(weight: Tensor) -> Tensor:
    """Return a bool mask like `weight`, true for the two largest magnitudes of every four.

    The fours are consecutive in the row of one output: `weight` is (out, in), or (out, in per
    group, kernel height, kernel width) whose rows are taken in row-major order. The length of a
    row must be divisible by four. Of equal magnitudes the first are pruned.
    """
    fours = weight.detach().abs().reshape(-1, GROUP)
    columns = fours.unbind(dim=1)
    larger = torch.zeros(len(fours), GROUP, dtype=torch.int8, device=weight.device)
    for one, other in combinations(range(GROUP), 2):
        later_wins = columns[other] >= columns[one]
        larger[:, other] += later_wins
        larger[:, one] += ~later_wins
    return (larger >= PRUNED).reshape(weight.shape)


def eligible_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the covered weights of Linear and Conv2d layers with rows divisible by four.

    Most first convolutions (3 x 7 x 7 inputs) and depthwise ones are not among them.
    """
    ours = {
        module.weight for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)
    }
    return {
        name: weight
        for name, weight in covered_weights(model).items()
        if weight in ours and weight.numel() and weight[0].numel() % GROUP == 0
    }


class TwoOfFour(HoldsZeros):
    """Gives the 2:4 pattern to as many layers as the tolerance allows, and holds it.

    The layer with the least damage per pruned weight comes first. Its damage is the share of the
    sum of its magnitudes that the pattern prunes, over its number of weights.
    """

    name = "prune-2to4"
    stage = MASK

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Prune the largest number of layers within `tolerance`.

        The report has {"layers": how many, "fraction": share of the covered weights that the
        pattern prunes}; the compression rate is that of `prune`. Raises `CellError` for a model
        without covered weights, or with one that is not finite.
        """
        covered = covered_weights(model)
        require_weights(self.name, covered)
        eligible = eligible_weights(model)
        before = zero_count(covered)
        trial = _Pruning(eligible)
        counts = range(1, len(eligible) + 1)
        found = strongest(model, score, tolerance, counts, trial, EVALUATIONS)
        layers = trial.order[: int(found.setting or 0)]
        del trial  # and its copy of the weights, before there are masks
        self._zeros = Zeros((name, _mask(eligible[name])) for name in layers)
        pruned = sum(eligible[name].numel() for name in layers) * PRUNED // GROUP
        fraction = pruned / sum(weight.numel() for weight in covered.values())
        rate = (zero_count(covered) - before) / (parameter_count(model) - before)
        notes = [] if eligible else [f"no layer has rows divisible by {GROUP}"]
        settings: dict[str, float | int | str] = {"layers": len(layers), "fraction": fraction}
        return found.report(self.name, settings, rate, [*notes, *shared_notes(model)])


class _Pruning:
    """The trial of a number of layers, in the order of damage."""

    def __init__(self, weights: dict[str, nn.Parameter]) -> None:
        self._weights = weights
        self._originals = Originals(weights)
        price = {name: _share_lost(weight) / weight.numel() for name, weight in weights.items()}
        self.order = sorted(weights, key=lambda name: price[name])

    @torch.no_grad()
    def apply(self, setting: float) -> None:
        for name in self.order[: int(setting)]:
            for rows in _rows(self._weights[name]):
                zero_unless(rows, keeps_of_four(rows))

    def restore(self) -> None:
        self._originals.restore()


def _share_lost(weight: Tensor) -> float:
    """Return the share of the sum of magnitudes that the pattern prunes, 0..0.5."""
    total = kept = 0.0
    for rows in _rows(weight):
        magnitudes = rows.abs()
        total += magnitudes.sum(dtype=torch.float64).item()
        kept += magnitudes.mul_(keeps_of_four(rows)).sum(dtype=torch.float64).item()
    return 1.0 - kept / total if total else 0.0


def _mask(weight: Tensor) -> Tensor:
    """Return `keeps_of_four(weight)`, computed a few rows at a time."""
    return torch.cat([keeps_of_four(rows) for rows in _rows(weight)])


def _rows(weight: Tensor) -> Iterator[Tensor]:
    """Yield views of consecutive outputs with at most about `PART` weights each."""
    yield from weight.detach().split(max(1, PART // weight[0].numel()))


def realize(model: nn.Module) -> list[str]:
    """Give trained Linear layers PyTorch's sparse tensors, in place, for inference only.

    Return the names of the layers that now run on sparse tensor cores. A layer must have the 2:4
    pattern, be float16 or bfloat16, have rows and columns in multiples of 64, and be on a CUDA
    device of capability 8.0 or newer. All other layers stay as they are, on a CPU every one.
    """
    realized = []
    for name, layer in model.named_modules():
        if type(layer) is nn.Linear and _runs_sparse(layer.weight):
            sparse = torch.sparse.to_sparse_semi_structured(layer.weight.detach())
            layer.weight = nn.Parameter(sparse, requires_grad=False)
            realized.append(name)
    return realized


def _runs_sparse(weight: Tensor) -> bool:
    return (
        weight.device.type == "cuda"
        and torch.cuda.get_device_capability(weight.device) >= (8, 0)
        and weight.dtype in _REALIZED_DTYPES
        and all(size % _REALIZED_MULTIPLE == 0 for size in weight.shape)
        and has_pattern(weight)
    )


def has_pattern(weight: Tensor) -> bool:
    """Return whether at least two of every four consecutive weights of each row are zero."""
    fours = weight.detach().reshape(-1, GROUP)
    return bool((fours.count_nonzero(dim=1) <= GROUP - PRUNED).all())
