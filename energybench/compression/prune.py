"""Magnitude pruning: zero the weights of least absolute value.

S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural
Networks" (arXiv 1506.02626): `prune` with one threshold for all layers, as
`torch.nn.utils.prune.global_unstructured` with `L1Unstructured` has it, and `prune-layerwise` with
the same fraction in every layer, as `l1_unstructured` has it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

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
    zero_count,
)
from energybench.records.record import CompressionReport

EVALUATIONS = 8
"""Seven of bisection over 1..99 %, and a neighbour."""
BINS = 1 << 16
"""Of the histogram: all exponents, and 8 bits of a float32's significand."""
COUNTED = 1 << 20
"""Weights counted at a time: more would leave the cache, fewer would pay for the bins."""
GATHERED = 1 << 16
"""Weights looked at for one bin at a time."""

Weights = dict[str, nn.Parameter]


@dataclass(frozen=True)
class Cut:
    """What lies below a magnitude, and how many of those equal to it."""

    threshold: Tensor
    """Of no dimensions, above 0."""
    equal: int | None
    """The first so many of those equal to `threshold`; None: all."""

    def zero(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """(target, source): make targets their sources, with zeros for what the cut takes.

        The first ones are those in the order of `pairs`, row-major.
        """
        limit = self.threshold
        if self.equal is not None:
            limit = torch.nextafter(limit, torch.zeros_like(limit))
        missing = self.equal or 0
        for target, source in pairs:
            if source.dtype == limit.dtype:
                torch.hardshrink(source, limit.item(), out=target)
            else:
                target.copy_(torch.nn.functional.hardshrink(source.to(limit.dtype), limit.item()))
            if missing:
                missing -= self._zero_ties(target, source, missing)

    def _zero_ties(self, target: Tensor, source: Tensor, most: int) -> int:
        """Zero the first `most` elements whose source is `threshold`; returns how many it found."""
        flat, found = source.flatten(), 0
        for start in range(0, len(flat), COUNTED):
            part = flat[start : start + COUNTED].abs()
            ties = (part == self.threshold.to(part.device)).nonzero()[: most - found]
            if len(ties):
                target[torch.unravel_index(ties[:, 0] + start, target.shape)] = 0.0
                found += len(ties)
            if found == most:
                break
        return found


class Magnitudes:
    """Selects the k-th smallest magnitude of several weights, exactly and without sorting them.

    Floats of one sign are ordered as their bit patterns are. So one pass counts magnitudes by the
    top 16 bits below the sign, which tells the bin of every k, and for each k that is asked for
    another pass gathers what is in its bin, under 1 % of trained weights.
    """

    def __init__(self, weights: Sequence[Tensor], counts: Sequence[int]) -> None:
        """`weights` are floats without NaN; `counts` are all the k (from 1) that may be asked."""
        double = any(weight.dtype == torch.float64 for weight in weights)
        self._dtype, self._bits = (torch.float64, 63) if double else (torch.float32, 31)
        self._integers = torch.int64 if double else torch.int32
        self._weights = weights
        self._shift = self._bits + 1 - BINS.bit_length()
        histogram = torch.zeros(BINS, dtype=torch.int64)
        for part in self._parts(COUNTED):
            keys = part.view(self._integers).bitwise_right_shift_(self._shift)
            histogram += torch.bincount(keys, minlength=BINS).cpu()
        upto = histogram.cumsum(0)
        bins = torch.searchsorted(upto, torch.tensor(counts))
        below = (upto - histogram)[bins]
        places = zip(bins.tolist(), below.tolist(), strict=True)
        self._places = dict(zip(counts, places, strict=True))

    def cut(self, count: int) -> "Cut":
        """Where the `count` smallest magnitudes end."""
        place, below = self._places[count]
        edges = torch.tensor([place << self._shift, (place + 1) << self._shift])
        low, high = edges.to(self._integers).view(self._dtype).tolist()
        inside = torch.cat([_between(part, low, high) for part in self._parts(GATHERED)])
        threshold = inside.kthvalue(count - below).values
        wanted = count - below - int((inside < threshold).sum())
        surplus = int((inside == threshold).sum()) - wanted
        return Cut(threshold.cpu(), wanted if surplus else None)

    def _parts(self, size: int) -> Iterator[Tensor]:
        """New tensors of magnitudes; a GPU takes each weight whole."""
        for weight in self._weights:
            flat = weight.detach().flatten()
            for part in flat.split(size) if flat.device.type == "cpu" else [flat]:
                yield part.abs() if part.dtype == self._dtype else part.abs().to(self._dtype)


def _between(magnitudes: Tensor, low: float, high: float) -> Tensor:
    inside = (magnitudes >= low) & (magnitudes < high)
    if magnitudes.device.type == "cpu":  # NumPy's selection is four times as fast as torch's
        return torch.from_numpy(magnitudes.numpy()[inside.numpy()])
    return magnitudes[inside]


class Prune(HoldsZeros):
    """Zeroes as large a fraction of the covered weights as the tolerance allows, and keeps them."""

    name = "prune"
    stage = MASK

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Prune the largest fraction within `tolerance`; {"fraction": f} in the report.

        Fractions are whole percents of the covered weights, 0.01..0.99. The compression rate is
        the number of newly zero weights over that of all parameters that were not pruned before.
        Raises `CellError` for a model without covered weights, or with one not finite.
        """
        weights = covered_weights(model)
        require_weights(self.name, weights)
        before = zero_count(weights)
        trial = _Pruning(self._shares(weights))
        found = strongest(model, score, tolerance, trial.fractions, trial, EVALUATIONS)
        del trial  # and its copy of the weights, before there are masks
        pruned = weights if found.setting else {}
        self._zeros = Zeros((name, weight.detach() != 0) for name, weight in pruned.items())
        rate = (zero_count(weights) - before) / (parameter_count(model) - before)
        return found.report(self.name, {"fraction": found.setting or 0.0}, rate)

    def _shares(self, weights: Weights) -> list[Weights]:
        """The weights that have one threshold; each share loses the same fraction."""
        return [weights]


class PruneLayerwise(Prune):
    """Zeroes the same fraction of every covered weight tensor, and keeps them."""

    name = "prune-layerwise"

    def _shares(self, weights: Weights) -> list[Weights]:
        return [{name: weight} for name, weight in weights.items()]


class _Share:
    """Weights with one threshold, and the cut of each fraction of them."""

    def __init__(self, weights: Weights) -> None:
        self.originals = Originals(weights)
        total = sum(weight.numel() for weight in weights.values())
        zeros = zero_count(weights)
        counts = {percent / 100: round(percent / 100 * total) for percent in range(1, 100)}
        self.counts = {fraction: count for fraction, count in counts.items() if count > zeros}
        self._magnitudes = Magnitudes(list(weights.values()), list(self.counts.values()))
        self._cuts: dict[int, Cut] = {}

    def zero(self, fraction: float) -> None:
        """Prune `fraction`, or nothing where that many are zero anyway."""
        count = self.counts.get(fraction)
        if count is None:
            return
        if count not in self._cuts:
            self._cuts[count] = self._magnitudes.cut(count)
        self._cuts[count].zero(self.originals.pairs)


class _Pruning:
    """The trial of a fraction."""

    def __init__(self, shares: list[Weights]) -> None:
        self._shares = [_Share(weights) for weights in shares]
        self.fractions = sorted({*chain(*(share.counts for share in self._shares))})

    @torch.no_grad()
    def apply(self, setting: float) -> None:
        for share in self._shares:
            share.zero(setting)

    def restore(self) -> None:
        for share in self._shares:
            share.originals.restore()
