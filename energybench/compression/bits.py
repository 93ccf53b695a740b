"""Low-order bits of floating-point numbers: cleared, rounded away or overwritten, in place.

A number is seen as the integer with the same bits: sign, exponent, fraction, from high to low. A
larger magnitude is a larger integer, so that clearing low-order bits truncates toward zero, and
adding half a unit before it rounds to the nearest.
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
"""What low-order bits are overwritten with."""
Rounding = Literal["truncate", "nearest"]
"""Where a number goes whose low-order bits are cleared."""


@dataclass(frozen=True)
class Format:
    """How a floating-point type uses its bits."""

    integer: torch.dtype
    """Of the same width."""
    width: int
    fraction: int
    """Explicit bits below the exponent."""


FORMATS = {
    torch.float32: Format(torch.int32, 32, 23),
    torch.bfloat16: Format(torch.int16, 16, 7),
    torch.float16: Format(torch.int16, 16, 10),
}
_PER_THREAD = 1 << 16
"""Numbers that a core works on at a time: a quarter of a mebibyte, which its cache holds."""
_LARGE_PART = 1 << 25
"""On other devices than a CPU, where a launch costs more than a cache saves."""


def clear_low_bits(
    tensor: Tensor,
    bits: int,
    fill: Fill = "zeros",
    generator: torch.Generator | None = None,
    rounding: Rounding = "truncate",
) -> None:
    """Clear the `bits` low-order bits of every element, or fill them at random, in place.

    `tensor` is float32, bfloat16 or float16, of any shape and memory layout; `bits` is at most its
    width less one, so that the sign stays.

    Zeros with `rounding="truncate"` move an element toward zero, in float32 by less than
    2^(bits - 23) of its size for up to 23 bits; more reach into the exponent. With "nearest" an
    element goes to the nearest number with clear bits, ties away from zero, by at most half of
    that; one that would become infinite, and every element where `bits` reach into the exponent,
    is truncated.

    Random bits come from `generator`, or PyTorch's own: one draw per element whatever `bits` is,
    so that from one state of the generator fewer bits are the lower ones of more. Where they reach
    into the exponent and the result would be infinity or NaN, the exponent's lowest bit is zero.

    Raises `CellError` for another dtype, NaN, infinity, or elements that share memory, and
    `ValueError` for other arguments.
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
    """The format of `tensor`; raises `CellError` for one whose bits cannot be cleared."""
    if tensor.dtype not in FORMATS:
        known = ", ".join(str(dtype) for dtype in FORMATS)
        raise CellError(f"stego: clears bits of {known}, and {name} is {tensor.dtype}")
    return FORMATS[tensor.dtype]


def require_filling(fill: Fill, rounding: Rounding) -> None:
    """Raise `ValueError` for an unknown `fill` or `rounding`, or two that exclude each other."""
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
    """`clear_low_bits` of what is known to be finite, with arguments known to be right.

    `magnitude` is the `largest_magnitude` of `tensor`, where it is known.
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
    """0 for no elements; NaN if one is. Makes no copy."""
    if tensor.numel() == 0:
        return 0.0
    lowest, highest = (float(end) for end in torch.aminmax(tensor.detach()))
    return max(-lowest, highest)


def nearest(source: Tensor, target: Tensor, bits: int) -> None:
    """Write to `target` the number with `bits` clear that is nearest to `source`.

    Ties go away from zero, the largest numbers to infinity. Where `bits` reach into the exponent,
    it truncates.
    """
    form = FORMATS[source.dtype]
    number = target.view(form.integer)
    half = 1 << (bits - 1) if 0 < bits <= form.fraction else 0
    torch.add(source.view(form.integer), half, out=number)
    number.bitwise_and_(-1 << bits)


def parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Matching parts of tensors of one layout, flat and small where their memory is dense."""
    if not all(_is_dense(tensor) for tensor in tensors):
        yield tuple(tensor.detach() for tensor in tensors)
        return
    on_cpu = tensors[0].device.type == "cpu"
    size = _PER_THREAD * torch.get_num_threads() if on_cpu else _LARGE_PART
    flat = (tensor.detach().as_strided((tensor.numel(),), (1,)) for tensor in tensors)
    yield from zip(*(tensor.split(size) for tensor in flat), strict=True)


def _is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill one stretch of memory, in whatever order, each its own place."""
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
