"""Steganographic capacity reduction: clear the low-order bits that a network does not need.

R. Agrawal et al., "On the Steganographic Capacity of Selected Learning Models" (arXiv 2308.15502),
count how many low-order bits of each float32 weight can be overwritten before the accuracy falls.
L. Mei, M. Stamp (arXiv 2506.01311) clear that number of bits to save energy.

Clear bits alone save no energy: no float32 kernel is faster for them. They allow a narrower
arithmetic that holds every weight exactly, as long as they stay clear. The paper overwrites the
bits once and then trains freely, which is `compression.once.StegoOnce`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from energybench.compression.base import BITS, Score
from energybench.compression.bits import (
    FORMATS,
    Fill,
    Rounding,
    clear_low_bits,
    nearest,
    overwrite,
    parts,
    require_filling,
)
from energybench.compression.capacity import (
    EVALUATIONS,
    MAX_BITS,
    SETTINGS,
    Capacity,
    Overwriting,
    capacity,
    require_float32,
)
from energybench.compression.search import given, strongest
from energybench.compression.weights import (
    covered_weights,
    laid_out_like,
    parameter_count,
    require_weights,
    shared_notes,
)
from energybench.records.record import CompressionReport

__all__ = ["MAX_BITS", "Capacity", "Stego", "StegoFp32", "capacity", "clear_low_bits"]

_FRACTION = FORMATS[torch.float32].fraction
_NARROWER = {"bf16": _FRACTION - 7, "tf32": _FRACTION - 10}
"""Arithmetic -> how many clear low-order bits make a float32 fit its shorter fraction."""


class Stego:
    """Clears as many low-order bits of every covered weight as the tolerance allows.

    Error feedback keeps the bits clear during training. The full-precision value of each weight is
    the weight, whose low bits are clear, plus a remainder, as with the master weights of
    P. Micikevicius et al., "Mixed Precision Training" (arXiv 1710.03740). After a step, the
    remainder is added back and the sum is rounded to the nearest value with clear low bits; the
    rounding error is the new remainder. So every forward and backward pass computes with clear
    bits, and small updates add up. Training needs memory for one more copy of the covered weights.

    Simpler ways lose the network. Clearing again after each step would take a whole unit of the
    coarse grid from every weight whose update points toward zero, and drop all other updates:
    weights would shrink step by step. Rounding without remainders would drop all small updates.
    Truncating the sum would take a unit from half of the weights at the first step, because each
    weight starts on the edge between two units.

    `rounding` says how the search clears bits, as in `clear_low_bits`. Given `bits`, 1..31, are
    cleared whatever the drop.
    """

    name = "stego"
    stage = BITS
    required_precision: str | None = None

    def __init__(
        self, rounding: Rounding = "truncate", bits: int | None = None, fill: Fill = "zeros"
    ) -> None:
        require_filling(fill, rounding)
        self._rounding: Rounding = rounding
        self._fill: Fill = fill
        self._given = bits
        self._bits = 0
        self._remainders: dict[str, Tensor] = {}

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Clear the `capacity` of the covered weights; the report has {"bits": n}.

        The compression rate is n/32 times the covered weights' share of all parameters. Raises
        `CellError` for a model without covered weights, or with one that is not finite or not
        float32.
        """
        weights = covered_weights(model)
        require_float32(weights)
        require_weights(self.name, weights)
        trial = Overwriting(weights, self._fill, self._rounding)
        if self._given is None:
            found = strongest(model, score, tolerance, SETTINGS, trial, EVALUATIONS)
        else:
            found = given(model, score, self._given, trial)
        self._bits, self._remainders = int(found.setting or 0), {}
        covered = sum(weight.numel() for weight in weights.values())
        rate = self._bits / 32 * covered / parameter_count(model)
        notes = [*shared_notes(model), *self._clear_before(trial)]
        return found.report(self.name, {"bits": self._bits}, rate, notes)

    def _clear_before(self, trial: Overwriting) -> list[str]:
        """Say which share of the weights had the bits clear already, where chance explains less.

        Weights that come out of a narrower format do: their capacity is that format's.
        """
        share = trial.clear_before(self._bits) if self._bits else 0.0
        if share <= max(0.01, 2.0 ** (1 - self._bits)):
            return []
        return [
            f"{self.name}: {100 * share:.1f} % of the covered weights "
            f"had these {self._bits} bits clear before"
        ]

    def precisions(self) -> tuple[str, ...]:
        """Return those that hold every bit left: bf16 (8 of 24 significant bits), TF32 (11)."""
        return tuple(name for name, bits in _NARROWER.items() if self._bits >= bits)

    def training_state(self) -> dict[str, Tensor]:
        """Return the remainders, by the names of the weights."""
        return dict(self._remainders)

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue with these remainders."""
        self._remainders = dict(state)

    @torch.no_grad()
    def after_step(self, model: nn.Module) -> None:
        """Add the remainders to the weights, round, and keep the rounding errors as remainders.

        A frozen weight has kept its clear bits, and needs no remainder.
        """
        if not self._bits:
            return
        for name, weight in covered_weights(model).items():
            if not weight.requires_grad:
                continue
            if name not in self._remainders:
                self._remainders[name] = torch.zeros_like(weight)
            self._remainders[name] = laid_out_like(weight, self._remainders[name])
            for part, rest in parts(weight, self._remainders[name]):
                rest.add_(part)
                nearest(rest, part, self._bits)
                rest.sub_(part)

    def finalize(self, model: nn.Module) -> None:
        """Clear the bits and drop the remainders; frozen weights have them clear.

        Raises `CellError` if training left NaN or infinity.
        """
        remainders, self._remainders = self._remainders, {}
        if not self._bits:
            return
        weights = covered_weights(model)
        require_weights(self.name, weights)
        require_weights(self.name, remainders or weights)  # cleared exponent bits hide infinity
        for weight in weights.values():
            if weight.requires_grad:
                overwrite(weight, self._bits)


class StegoFp32(Stego):
    """Clears and holds the bits as `stego` does, but trains in fp32.

    As a control, it separates the effect of the clear bits from that of a narrower arithmetic.
    """

    name = "stego-fp32"

    def precisions(self) -> tuple[str, ...]:
        """Return none: training stays in fp32."""
        return ()
