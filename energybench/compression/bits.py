"""Clear, round away or overwrite the low-order bits of floating-point numbers, in place.

A number is taken as the integer with the same bits: sign, exponent, fraction, from high to low. A
larger magnitude is a larger integer. So clearing low-order bits truncates toward zero, and adding
half a unit first rounds to the nearest.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from energybench.compression.weights import shares_memory
from energybench.errors import CellError

Fill = Literal["zeros", "random"]
"""The new values of low-order bits."""
Rounding = Literal["truncate", "nearest"]
"""The direction in which a number with cleared bits moves."""


@dataclass(frozen=True)
class Format:
    """The bits of a floating-point type."""

    integer: torch.dtype
    """The integer type of the same width."""
    width: int
    """Bits in all."""
    fraction: int
    """Explicit bits below the exponent."""


FORMATS = {
    torch.float32: Format(torch.int32, 32, 23),
    torch.bfloat16: Format(torch.int16, 16, 7),
    torch.float16: Format(torch.int16, 16, 10),
}
_PER_THREAD = 1 << 16
"""Numbers per core at a time: a quarter of a mebibyte, which fits its cache."""
_LARGE_PART = 1 << 25
"""Numbers at a time on devices other than a CPU, where a launch costs more than a cache saves."""


def clear_low_bits(
    tensor: Tensor,
    bits: int,
    fill: Fill = "zeros",
    generator: torch.Generator | None = None,
    rounding: Rounding = "truncate",
) -> None:
    """Clear the `bits` low-order bits of every element, or fill them at random, in place.

    `tensor` is float32, bfloat16 or float16, of any shape and memory layout; `bits` is at most its
    width minus one, so that the sign stays.

    `fill="zeros"` with `rounding="truncate"` moves an element toward zero. In float32 it moves by
    less than 2^(bits - 23) of its size for up to 23 bits; more bits reach into the exponent. With
    `rounding="nearest"` an element moves to the nearest number with clear bits, ties away from
    zero, by at most half of that. An element that would become infinite is truncated instead, and
    so is every element where `bits` reach into the exponent.

    `fill="random"` draws bits from `generator`, or PyTorch's own. It draws once per element for any
    number of `bits`: from one state of the generator, fewer bits are the lower ones of more. Where
    random bits reach into the exponent and would make infinity or NaN, the exponent's lowest bit
    is zero.

    Raises `CellError` for another dtype, NaN, infinity, or elements that share memory, and
    `ValueError` for an unknown argument.
    """
    form = form_of("the tensor", tensor)
    if shares_memory(tensor):
        raise CellError("stego: elements of the tensor share memory; clone it first")
    require_filling(fill, rounding)
    if not 0 <= bits < form.width:
        raise ValueError(f"bits must be 0..{form.width - 1}, not {bits}")
    magnitude = largest_magnitude(tensor)
    if not math.isfinite(magnitude):
        raise CellError("stego: low-order bits of NaN or infinity cannot be cleared")
    overwrite(tensor, bits, fill, generator, rounding, magnitude)


def form_of(name: str, tensor: Tensor) -> Format:
    """Return the format of `tensor`; raise `CellError` for a dtype without one."""
    if tensor.dtype not in FORMATS:
        known = ", ".join(str(dtype) for dtype in FORMATS)
        raise CellError(f"stego: clears bits of {known}, and {name} is {tensor.dtype}")
    return FORMATS[tensor.dtype]


def require_filling(fill: Fill, rounding: Rounding) -> None:
    """Raise `ValueError` for an unknown `fill` or `rounding`, or random bits with "nearest"."""
    if fill not in get_args(Fill):
        raise ValueError(f"fill must be one of {get_args(Fill)}, not {fill!r}")
    if rounding not in get_args(Rounding):
        raise ValueError(f"rounding must be one of {get_args(Rounding)}, not {rounding!r}")
    if fill == "random" and rounding == "nearest":
        raise ValueError("random bits leave nothing to round to; use rounding='truncate'")


def overwrite(
    tensor: Tensor,
    bits: int,
    fill: Fill = "zeros",
    generator: torch.Generator | None = None,
    rounding: Rounding = "truncate",
    magnitude: float | None = None,
) -> None:
    """Do as `clear_low_bits`, but without checks, for a finite tensor and valid arguments.

    `magnitude` is the `largest_magnitude` of `tensor`, where it is known already.
    """
    form = FORMATS[tensor.dtype]
    if fill == "random":
        for (part,) in parts(tensor):
            _randomize(part, form, bits, generator)
    elif rounding == "nearest" and 0 < bits <= form.fraction:
        if magnitude is None:
            magnitude = largest_magnitude(tensor)
        for (part,) in parts(tensor):
            nearest(part, part, bits)
            if 2.0 * magnitude > torch.finfo(tensor.dtype).max:
                part.view(form.integer).sub_(part.isinf().to(form.integer), alpha=1 << bits)
    else:
        tensor.detach().view(form.integer).bitwise_and_(-1 << bits)


def largest_magnitude(tensor: Tensor) -> float:
    """Return the largest absolute value, without a copy; 0 for no elements, NaN if one is NaN."""
    if tensor.numel() == 0:
        return 0.0
    lowest, highest = (float(end) for end in torch.aminmax(tensor.detach()))
    return max(-lowest, highest)


def nearest(source: Tensor, target: Tensor, bits: int) -> None:
    """Round `source` to the nearest numbers with `bits` clear, into `target`.

    Ties go away from zero, and the largest numbers to infinity. Where `bits` reach into the
    exponent, numbers are truncated.
    """
    form = FORMATS[source.dtype]
    number = target.view(form.integer)
    half = 1 << (bits - 1) if 0 < bits <= form.fraction else 0
    torch.add(source.view(form.integer), half, out=number)
    number.bitwise_and_(-1 << bits)


def parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield matching parts of tensors of one layout: small and flat if dense, else each whole."""
    if not all(_is_dense(tensor) for tensor in tensors):
        yield tuple(tensor.detach() for tensor in tensors)
        return
    on_cpu = tensors[0].device.type == "cpu"
    size = _PER_THREAD * torch.get_num_threads() if on_cpu else _LARGE_PART
    flat = (tensor.detach().as_strided((tensor.numel(),), (1,)) for tensor in tensors)
    yield from zip(*(tensor.split(size) for tensor in flat), strict=True)


def _is_dense(tensor: Tensor) -> bool:
    """Return whether the elements fill one stretch of memory without gaps, in any order."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _randomize(part: Tensor, form: Format, bits: int, generator: torch.Generator | None) -> None:
    drawn = torch.empty(part.shape, dtype=form.integer, device=part.device)
    drawn.random_(generator=generator).bitwise_and_((1 << bits) - 1)
    number = part.view(form.integer)
    number.bitwise_and_(-1 << bits).bitwise_or_(drawn)
    if bits > form.fraction:
        infinite = part.isfinite().logical_not_().to(form.integer)
        number.sub_(infinite, alpha=1 << form.fraction)


_COUNTED = 1 << 16
"""Elements whose bits are counted at a time: a whole weight's would be a copy of it."""


@torch.no_grad()
def with_clear_bits(weight: Tensor, bits: int) -> int:
    """Return how many elements of `weight`, float32, have the `bits` (1..32) low bits clear."""
    mask = (1 << bits) - 1 if bits < 32 else -1
    found = 0
    for part in weight.detach().flatten().split(_COUNTED):
        low = part.view(torch.int32).bitwise_and(mask)
        found += part.numel() - int(low.count_nonzero())
    return found
