"""Steganographic capacity reduction: clear the low-order bits that a network does not need.

R. Agrawal et al., "On the Steganographic Capacity of Selected Learning Models" (arXiv 2308.15502),
count how many low-order bits of each float32 weight can be overwritten before the accuracy falls;
L. Mei, M. Stamp (arXiv 2506.01311) reduce networks by that number of bits to save energy.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from energybench.compression.base import BITS, Score
from energybench.compression.search import strongest
from energybench.compression.weights import (
    Originals,
    covered_weights,
    is_finite,
    parameter_count,
    require_weights,
)
from energybench.errors import CellError
from energybench.record import CompressionReport

MAX_BITS = 31
"""All but the sign."""
SIGNIFICAND_BITS = 23
"""Low-order bits below the exponent."""
EVALUATIONS = 8
"""Five of bisection over 1..31 bits, and up to three neighbours."""
PART = 1 << 17
"""Weights held at a time after a step: half a mebibyte, and as much of remainders."""


def clear_low_bits(tensor: Tensor, bits: int) -> None:
    """Set the `bits` (0..31) low-order bits of every element to zero, in place.

    `tensor` is float32, of any shape and memory layout. This truncates toward zero, by less than
    2^(bits - 23) of an element's size for up to 23 bits; more reach into the exponent. The sign
    stays. Raises `CellError` for another dtype, NaN or infinity, and `ValueError` for other `bits`.
    """
    if not 0 <= bits <= MAX_BITS:
        raise ValueError(f"bits must be 0..{MAX_BITS}, not {bits}")
    _require_float32("the tensor", tensor)
    if not is_finite(tensor):
        raise CellError("stego: low-order bits of NaN or infinity cannot be cleared")
    _clear(tensor, bits)


class Stego:
    """Clears as many low-order bits of every covered weight as the tolerance allows.

    Training is held by error feedback. Each weight's full-precision value lives on as the weight,
    whose low bits are clear, plus a remainder, as with the master weights of P. Micikevicius et
    al., "Mixed Precision Training" (arXiv 1710.03740): after a step the remainder is added back,
    the sum is rounded to the nearest value with clear low bits, and what rounding took away is the
    new remainder. So every forward and backward pass computes with clear bits, and small updates
    add up. The price is one more copy of the covered weights while training.

    Clearing again after each step would instead take a whole unit of the coarse grid from every
    weight whose update points toward zero and drop the updates of all others: weights shrink step
    by step until the network is lost. Rounding without remainders drops all small updates. And
    truncating the sum takes a unit from half of the weights at the very first step, because each
    starts on the edge between two units.
    """

    name = "stego"
    stage = BITS

    def __init__(self) -> None:
        self._bits = 0
        self._remainders: dict[str, Tensor] = {}

    def compress(self, model: nn.Module, score: Score, tolerance_pp: float) -> CompressionReport:
        """Clear the largest number of bits within `tolerance_pp`; {"bits": n} in the report.

        The compression rate is n/32 times the covered weights' share of all parameters. Raises
        `CellError` for a model without covered weights, or with one not finite or not float32.
        """
        weights = covered_weights(model)
        for name, weight in weights.items():
            _require_float32(name, weight)
        require_weights(self.name, weights)
        settings = range(1, MAX_BITS + 1)
        found = strongest(model, score, tolerance_pp, settings, _Clearing(weights), EVALUATIONS)
        self._bits, self._remainders = int(found.setting or 0), {}
        covered = sum(weight.numel() for weight in weights.values())
        rate = self._bits / 32 * covered / parameter_count(model)
        return found.report(self.name, {"bits": self._bits}, rate)

    @torch.no_grad()
    def after_step(self, model: nn.Module) -> None:
        """Add what was rounded away before, round, and keep what is rounded away now."""
        if not self._bits:
            return
        for name, weight in covered_weights(model).items():
            if name not in self._remainders:
                self._remainders[name] = torch.zeros_like(weight)
            for part, rest in _parts(weight.detach(), self._remainders[name]):
                part.add_(rest)
                rest.copy_(part)
                _round(part, self._bits)
                rest.sub_(part)

    def finalize(self, model: nn.Module) -> None:
        """Clear the bits and drop the remainders.

        Raises `CellError` if training left NaN or infinity.
        """
        remainders, self._remainders = self._remainders, {}
        if not self._bits:
            return
        weights = covered_weights(model)
        require_weights(self.name, weights)
        require_weights(self.name, remainders or weights)  # cleared exponent bits hide infinity
        for weight in weights.values():
            _clear(weight, self._bits)


class _Clearing:
    """The trial of a number of bits."""

    def __init__(self, weights: dict[str, nn.Parameter]) -> None:
        self._weights = weights
        self._originals = Originals(weights)

    def apply(self, setting: float) -> None:
        for weight in self._weights.values():
            _clear(weight, int(setting))

    def restore(self) -> None:
        self._originals.restore()


def _require_float32(name: str, tensor: Tensor) -> None:
    if tensor.dtype != torch.float32:
        raise CellError(f"stego: clears bits of torch.float32, and {name} is {tensor.dtype}")


def _parts(weight: Tensor, remainder: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Matching parts of two tensors of one layout, small enough that a core's cache holds them.

    A GPU takes them whole: there a launch costs more than its caches save.
    """
    dense = weight.is_contiguous() or (
        weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    )
    if not dense or weight.device.type != "cpu":
        yield weight, remainder
        return
    in_memory_order = (weight.numel(),), (1,)
    flat = weight.as_strided(*in_memory_order), remainder.as_strided(*in_memory_order)
    yield from zip(flat[0].split(PART), flat[1].split(PART), strict=True)


def _clear(tensor: Tensor, bits: int) -> None:
    tensor.detach().view(torch.int32).bitwise_and_(-1 << bits)


def _round(tensor: Tensor, bits: int) -> None:
    """To the nearest value with clear bits, ties away from zero; truncate where none are left."""
    if 0 < bits <= SIGNIFICAND_BITS:
        tensor.detach().view(torch.int32).add_(1 << (bits - 1))
    _clear(tensor, bits)
