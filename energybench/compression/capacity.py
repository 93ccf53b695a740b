"""Steganographic capacity: how many low-order bits of its weights a network does not need.

R. Agrawal et al., "On the Steganographic Capacity of Selected Learning Models" (arXiv 2308.15502),
overwrite the low-order bits of every float32 weight, one more at a time, until the accuracy falls.
The capacity is the number of bytes that the bits overwritten until then can hide.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import nn

from energybench.compression.base import Judged, Score
from energybench.compression.bits import Fill, Rounding, overwrite, require_filling, with_clear_bits
from energybench.compression.search import Found, boundary, measure, settle
from energybench.compression.weights import Originals, covered_weights, require_weights
from energybench.errors import CellError
from energybench.records.metric import ACCURACY, Metric

MAX_BITS = 31
"""All bits but the sign."""
SETTINGS = range(1, MAX_BITS + 1)
EVALUATIONS = 7
"""Five of bisection over 1..31 bits, and two for the bit counts below."""

Scope = Literal["weights", "all"]
"""The weights of every Linear and convolution, or every parameter."""
Strategy = Literal["bisect", "sweep"]
"""Seven bit counts at most, or all."""


@dataclass(frozen=True)
class Capacity:
    """The number of low-order bits that can be overwritten, and the scores that show it."""

    bits: int
    """Bits per weight; 0 where one bit is too many."""
    curve: tuple[tuple[int, float], ...]
    """Every (bits, score) evaluated, fewest bits first; 0 bits is the reference."""
    weights: int
    """Weights whose bits were overwritten; a shared one counts once."""
    monotone: bool
    """False if a bit count was within the tolerance although a smaller one was not."""
    evaluations: int
    """Calls of the score, including the one for the reference, which layers do not repeat."""
    reference: float
    """Score of the untouched model."""
    tolerance: float
    """In the unit of `metric`."""
    fill: Fill
    rounding: Rounding
    layers: Mapping[str, "Capacity"] = field(default_factory=dict)
    """Name of a weight -> its capacity alone, every other layer untouched; empty unless asked."""
    metric: Metric = ACCURACY
    """The metric that `curve` and `reference` are values of."""
    interval: tuple[float, float] | None = None
    """95 % interval of `bits` over resampled items, among the bit counts in `curve`; None where the
    score does not judge single items."""

    @property
    def capacity_bytes(self) -> float:
        """Return how many bytes can be hidden in the network: `bits` in each of `weights`."""
        return self.bits * self.weights / 8


def capacity(
    model: nn.Module,
    score: Score,
    tolerance: float,
    fill: Fill = "zeros",
    scope: Scope = "weights",
    strategy: Strategy = "bisect",
    rounding: Rounding = "truncate",
    per_layer: bool = False,
    generator: torch.Generator | None = None,
) -> Capacity:
    """Find the most low-order bits such that they, and any fewer, cost at most `tolerance`.

    `tolerance` is in the unit of `score.metric`, for accuracy in percentage points. Any fewer bits
    must be within the tolerance too, because beyond the edge, where the accuracy falls, luck can
    bring single bit counts back within it. `sweep` evaluates all of 0..31 bits. `bisect` takes at
    most eight evaluations, the reference and both neighbours of its answer included; it gives the
    same capacity unless the curve leaves the tolerance and returns between the bit counts tried.
    `fill` and `rounding` are those of `clear_low_bits`. Every bit count gets the same random bits,
    from `generator` or one of seed 0.

    Memory holds one copy of the weights in `scope` beside the model. The model ends bit for bit as
    it was, also after an error. Raises `TypeError` for a score without a metric, `CellError` for a
    model without such weights, with one that is not float32 or not finite, or for a score that is
    not finite, and `ValueError` for an unknown argument.
    """
    require_filling(fill, rounding)
    for value, known in ((scope, get_args(Scope)), (strategy, get_args(Strategy))):
        if value not in known:
            raise ValueError(f"{value!r} is not one of {known}")
    weights = covered_weights(model) if scope == "weights" else dict(model.named_parameters())
    require_float32(weights)
    require_weights("stego", weights)
    reference = measure(model, score)

    def of(part: Mapping[str, nn.Parameter]) -> Capacity:
        trial = Overwriting(part, fill, rounding, generator)
        if strategy == "sweep":
            found = _sweep(model, score, tolerance, trial, reference)
        else:
            found = boundary(model, score, tolerance, SETTINGS, trial, EVALUATIONS, reference)
        return Capacity(
            bits=int(found.setting or 0),
            curve=(
                (0, reference.value),
                *((int(bits), value) for bits, value in sorted(found.curve)),
            ),
            weights=sum(weight.numel() for weight in part.values()),
            monotone=found.monotone,
            evaluations=len(found.curve),
            reference=reference.value,
            tolerance=tolerance,
            fill=fill,
            rounding=rounding,
            metric=score.metric,
            interval=found.interval,
        )

    whole = of(weights)
    layers = {name: of({name: weight}) for name, weight in weights.items()} if per_layer else {}
    return replace(whole, evaluations=whole.evaluations + 1, layers=layers)


def require_float32(weights: Mapping[str, nn.Parameter]) -> None:
    """Raise `CellError` for a weight that is not float32: bits are counted out of 32."""
    for name, weight in weights.items():
        if weight.dtype != torch.float32:
            raise CellError(f"stego: counts bits of torch.float32, and {name} is {weight.dtype}")


class Overwriting:
    """The trial of a number of bits; holds the copy of `weights` that restores them."""

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        fill: Fill = "zeros",
        rounding: Rounding = "truncate",
        generator: torch.Generator | None = None,
    ) -> None:
        self._weights = list(weights.values())
        self._originals = Originals(weights)
        self._fill: Fill = fill
        self._rounding: Rounding = rounding
        self._generator = generator or torch.Generator(self._weights[0].device).manual_seed(0)
        self._start = self._generator.get_state()

    def apply(self, setting: float) -> None:
        """Overwrite `setting` bits of every weight."""
        self._generator.set_state(self._start)
        for weight in self._weights:
            overwrite(weight, int(setting), self._fill, self._generator, self._rounding)

    def restore(self) -> None:
        """Restore the untouched weights."""
        self._originals.restore()

    def clear_before(self, bits: int) -> float:
        """Return the share of untouched weights, 0..1, whose `bits` low-order bits are clear.

        Zeros do not count.
        """
        originals = [original for _, original in self._originals.pairs]
        zeros = sum(with_clear_bits(original, 32) for original in originals)
        others = sum(original.numel() for original in originals) - zeros
        clear = sum(with_clear_bits(original, bits) for original in originals) - zeros
        return clear / others if others else 0.0

    def advance(self, setting: float) -> None:
        """Overwrite `setting` bits of weights in which fewer bits are overwritten already.

        The weights are then as after `apply`. Rounding to the nearest restores them first.
        """
        if self._rounding == "nearest":
            self.restore()
        self.apply(setting)


def _sweep(
    model: nn.Module, score: Score, tolerance: float, trial: Overwriting, reference: Judged
) -> Found:
    curve: list[tuple[float, Judged]] = []
    try:
        for bits in SETTINGS:
            trial.advance(bits)
            curve.append((float(bits), measure(model, score)))
    finally:
        trial.restore()
    return settle(score.metric, reference, curve, tolerance)
