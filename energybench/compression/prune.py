"""Magnitude pruning: zero the weights of least absolute value.

S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural
Networks" (arXiv 1506.02626). `prune` has one threshold for all layers and zeroes the weights that
`torch.nn.utils.prune.global_unstructured` with `L1Unstructured` would. `prune-layerwise` zeroes the
same fraction of every layer, as `l1_unstructured` would.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from energybench.compression.base import MASK, Score
from energybench.compression.search import given, strongest
from energybench.compression.weights import (
    HoldsZeros,
    Originals,
    Zeros,
    covered_weights,
    parameter_count,
    require_weights,
    shared_notes,
    zero_count,
)
from energybench.records.record import CompressionReport

EVALUATIONS = 8
"""Seven of bisection over 1..99 %, and a neighbour."""
FRACTIONS = tuple(percent / 100 for percent in range(1, 100))
"""The settings of a search."""
BINS = 1 << 16
"""Bins of the histogram: every exponent, and 8 bits of a float32's significand."""
COUNTED = 1 << 20
"""Weights counted at a time: more would not fit the cache, fewer would repeat the bins' cost."""
GATHERED = 1 << 16
"""Weights gathered at a time for one bin."""

Weights = dict[str, nn.Parameter]


@dataclass(frozen=True)
class Cut:
    """The weights below a magnitude, and the first few equal to it."""

    threshold: Tensor
    """(), above 0."""
    equal: int | None
    """Number of weights equal to `threshold` that are cut; None for all."""

    def zero(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Write each source to its target, with zeros for the weights that are cut.

        `pairs` are (target, source) of one shape. Weights equal to the threshold are cut in the
        order of `pairs`, row-major.
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
        """Zero the first `most` elements whose source is `threshold`; return how many there are."""
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
    """Finds the k-th smallest magnitude of several weights, exactly and without sorting them.

    Floats of one sign have the order of their bit patterns. So one pass counts the magnitudes by
    the top 16 bits below the sign and finds the bin of every k. For each k asked for, another pass
    gathers the magnitudes of its bin, under 1 % of trained weights.
    """

    def __init__(self, weights: Sequence[Tensor], counts: Sequence[int]) -> None:
        """Count `weights`, floats without NaN; `counts` are all k (from 1) to be asked for."""
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
        """Return the cut that takes the `count` smallest magnitudes."""
        place, below = self._places[count]
        edges = torch.tensor([place << self._shift, (place + 1) << self._shift])
        low, high = edges.to(self._integers).view(self._dtype).tolist()
        inside = torch.cat([_between(part, low, high) for part in self._parts(GATHERED)])
        threshold = inside.kthvalue(count - below).values
        wanted = count - below - int((inside < threshold).sum())
        surplus = int((inside == threshold).sum()) - wanted
        return Cut(threshold.cpu(), wanted if surplus else None)

    def _parts(self, size: int) -> Iterator[Tensor]:
        """Yield new tensors of up to `size` magnitudes; on a GPU, of a whole weight."""
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
    """Zeroes the largest fraction of the covered weights within the tolerance, and holds it.

    A given `fraction`, above 0 and below 1, is pruned whatever the drop.
    """

    name = "prune"
    stage = MASK

    def __init__(self, fraction: float | None = None) -> None:
        super().__init__()
        self._given = fraction

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Prune the largest fraction within `tolerance`; the report has {"fraction": f}.

        Fractions are whole percents of the covered weights, 0.01..0.99. The compression rate is
        the number of new zeros over the number of all parameters that were not zero before.
        Raises `CellError` for a model without covered weights, or with one that is not finite.
        """
        weights = covered_weights(model)
        require_weights(self.name, weights)
        before = zero_count(weights)
        trial = _Pruning(self._shares(weights), FRACTIONS if self._given is None else [self._given])
        if self._given is None:
            found = strongest(model, score, tolerance, trial.fractions, trial, EVALUATIONS)
        else:
            found = given(model, score, self._given, trial)
        del trial  # and its copy of the weights, before there are masks
        self._keep(weights if found.setting else {})
        rate = (zero_count(weights) - before) / (parameter_count(model) - before)
        settings: dict[str, float | int | str] = {"fraction": found.setting or 0.0}
        return found.report(self.name, settings, rate, shared_notes(model))

    def _keep(self, pruned: Weights) -> None:
        """Remember the zeros of `pruned`, to hold them."""
        self._zeros = Zeros((name, weight.detach() != 0) for name, weight in pruned.items())

    def _shares(self, weights: Weights) -> list[Weights]:
        """Split `weights` into shares with a threshold each; every share loses one fraction."""
        return [weights]


class PruneLayerwise(Prune):
    """Zeroes the same fraction of every covered weight tensor, and holds it."""

    name = "prune-layerwise"

    def _shares(self, weights: Weights) -> list[Weights]:
        return [{name: weight} for name, weight in weights.items()]


class _Share:
    """Weights with one threshold, and the cut for each fraction of them."""

    def __init__(self, weights: Weights, fractions: Sequence[float]) -> None:
        self.originals = Originals(weights)
        total = sum(weight.numel() for weight in weights.values())
        zeros = zero_count(weights)
        counts = {fraction: round(fraction * total) for fraction in fractions}
        self.counts = {fraction: count for fraction, count in counts.items() if count > zeros}
        self._magnitudes = Magnitudes(list(weights.values()), list(self.counts.values()))
        self._cuts: dict[int, Cut] = {}

    def zero(self, fraction: float) -> None:
        """Prune `fraction`, or nothing where that many weights are zero already."""
        count = self.counts.get(fraction)
        if count is None:
            return
        if count not in self._cuts:
            self._cuts[count] = self._magnitudes.cut(count)
        self._cuts[count].zero(self.originals.pairs)


class _Pruning:
    """The trial of a fraction."""

    def __init__(self, shares: list[Weights], fractions: Sequence[float]) -> None:
        self._shares = [_Share(weights, fractions) for weights in shares]
        self.fractions = sorted({*chain(*(share.counts for share in self._shares))})

    @torch.no_grad()
    def apply(self, setting: float) -> None:
        for share in self._shares:
            share.zero(setting)

    def restore(self) -> None:
        for share in self._shares:
            share.originals.restore()
