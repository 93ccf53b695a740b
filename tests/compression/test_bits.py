"""Low-order bits, against NumPy's own view of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn

from energybench.compression.bits import FORMATS, Fill, Rounding, clear_low_bits, parts
from energybench.errors import CellError

DTYPES = list(FORMATS)
WIDTHS = {torch.float32: 32, torch.bfloat16: 16, torch.float16: 16}
FRACTIONS = {torch.float32: 23, torch.bfloat16: 7, torch.float16: 10}
EXPONENTS = {torch.float32: 8, torch.bfloat16: 8, torch.float16: 5}

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
arrays = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=0, min_side=0, max_dims=4), elements=floats
)


def words(tensor: Tensor) -> np.ndarray:
    """The bits of each element, as unsigned integers."""
    integer, unsigned = {4: (torch.int32, np.uint32), 2: (torch.int16, np.uint16)}[
        tensor.element_size()
    ]
    return np.array(tensor.detach().contiguous().view(integer).numpy().view(unsigned))


@st.composite
def finite(draw: st.DrawFn, dtype: torch.dtype, size: int = 12) -> Tensor:
    """Any finite numbers of `dtype`, drawn by their bits: subnormal, largest, both zeros."""
    width, fraction = WIDTHS[dtype], FRACTIONS[dtype]
    largest = ((1 << EXPONENTS[dtype]) - 1 << fraction) - 1
    magnitudes = st.one_of(
        st.integers(0, largest), st.sampled_from([0, 1, largest, largest - 1, 1 << fraction])
    )
    drawn = draw(st.lists(st.tuples(st.booleans(), magnitudes), min_size=1, max_size=size))
    unsigned = np.uint32 if width == 32 else np.uint16
    bits = np.array([negative << (width - 1) | size for negative, size in drawn], dtype=unsigned)
    integer = torch.int32 if width == 32 else torch.int16
    signed = np.int32 if width == 32 else np.int16
    return torch.from_numpy(bits.view(signed)).view(integer).view(dtype)


@st.composite
def cases(draw: st.DrawFn, beyond_fraction: bool = True) -> tuple[Tensor, int]:
    """Finite numbers of any type, and a number of bits for it."""
    dtype = draw(st.sampled_from(DTYPES))
    most = WIDTHS[dtype] - 1 if beyond_fraction else FRACTIONS[dtype]
    return draw(finite(dtype)), draw(st.integers(0, most))


@given(values=arrays, bits=st.integers(0, 31))
def test_clears_exactly_the_low_bits(values: np.ndarray, bits: int) -> None:
    tensor = torch.from_numpy(values.copy())
    clear_low_bits(tensor, bits)
    expected = values.view(np.uint32) & np.uint32(0xFFFFFFFF << bits & 0xFFFFFFFF)
    assert tensor.numpy().view(np.uint32).tobytes() == expected.tobytes()
    assert np.array_equal(np.signbit(tensor.numpy()), np.signbit(values))
    assert (np.abs(tensor.numpy()) <= np.abs(values)).all()


@given(case=cases())
def test_clears_the_same_bits_of_every_type(case: tuple[Tensor, int]) -> None:
    tensor, bits = case
    before = words(tensor)
    clear_low_bits(tensor, bits)
    assert np.array_equal(words(tensor), before >> bits << bits)


@given(case=cases(beyond_fraction=False))
def test_nearest_is_nearest_and_finite(case: tuple[Tensor, int]) -> None:
    """No number with clear bits is nearer; ties go away from zero unless that is infinite."""
    tensor, bits = case
    before, magnitudes = tensor.double(), words(tensor) & (1 << WIDTHS[tensor.dtype] - 1) - 1
    clear_low_bits(tensor, bits, rounding="nearest")
    assert not (words(tensor) & (1 << bits) - 1).any()
    assert torch.isfinite(tensor).all()
    assert torch.equal(torch.signbit(tensor), torch.signbit(before))
    below = magnitudes >> bits << bits
    above = below + (1 << bits)
    infinite = (1 << EXPONENTS[tensor.dtype]) - 1 << FRACTIONS[tensor.dtype]
    low, high = (
        from_words(below, tensor.dtype),
        from_words(np.minimum(above, infinite), tensor.dtype),
    )
    up = (high - before.abs() <= before.abs() - low) & torch.from_numpy(above < infinite)
    up &= torch.from_numpy(below != magnitudes)
    assert torch.equal(tensor.double().abs(), torch.where(up, high, low))


def from_words(magnitudes: np.ndarray, dtype: torch.dtype) -> Tensor:
    """Numbers with these bits and sign +, in float64, which holds every one exactly."""
    signed, integer = (np.int32, torch.int32) if WIDTHS[dtype] == 32 else (np.int16, torch.int16)
    return torch.from_numpy(magnitudes.astype(signed)).view(integer).view(dtype).double()


@given(case=cases())
def test_nearest_truncates_exponents(case: tuple[Tensor, int]) -> None:
    tensor, bits = case
    truncated = tensor.clone()
    clear_low_bits(truncated, bits)
    clear_low_bits(tensor, bits, rounding="nearest")
    if bits > FRACTIONS[tensor.dtype]:
        assert torch.equal(tensor, truncated)
    assert not (words(tensor) & (1 << bits) - 1).any()


@given(case=cases(), seed=st.integers(0, 99))
def test_random_bits_change_low_bits_only_and_stay_finite(
    case: tuple[Tensor, int], seed: int
) -> None:
    tensor, bits = case
    before = words(tensor)
    clear_low_bits(tensor, bits, "random", torch.Generator().manual_seed(seed))
    assert np.array_equal(words(tensor) >> bits, before >> bits)
    assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_random_bits_are_fair(dtype: torch.dtype) -> None:
    """Each low bit is set in half of the elements, within six standard deviations."""
    count, bits = 1 << 14, FRACTIONS[dtype]
    tensor = torch.full((count,), 1.5, dtype=dtype)
    clear_low_bits(tensor, bits, "random", torch.Generator().manual_seed(1))
    for bit in range(bits):
        ones = int((words(tensor) >> bit & 1).sum())
        assert abs(ones - count / 2) < 6 * (count / 4) ** 0.5, bit


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_exponents_at_random_are_finite_and_vary(dtype: torch.dtype) -> None:
    tensor = torch.full((1 << 14,), torch.finfo(dtype).max, dtype=dtype)
    clear_low_bits(tensor, WIDTHS[dtype] - 1, "random", torch.Generator().manual_seed(1))
    assert torch.isfinite(tensor).all()
    exponents = np.unique(words(tensor) >> FRACTIONS[dtype])
    assert len(exponents) == (1 << EXPONENTS[dtype]) - 1  # all but that of infinity and NaN


def test_fewer_random_bits_are_the_lower_ones_of_more() -> None:
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    few, many = values.clone(), values.clone()
    clear_low_bits(many, 20, "random", torch.Generator().manual_seed(5))
    clear_low_bits(few, 11, "random", torch.Generator().manual_seed(5))
    assert np.array_equal(words(few) & 0x7FF, words(many) & 0x7FF)
    clear_low_bits(few, 20, "random", torch.Generator().manual_seed(5))
    assert torch.equal(few, many)


def test_random_bits_come_from_the_generator() -> None:
    state = torch.get_rng_state()
    one, two, other = (torch.ones(64) for _ in range(3))
    clear_low_bits(one, 12, "random", torch.Generator().manual_seed(5))
    clear_low_bits(two, 12, "random", torch.Generator().manual_seed(5))
    clear_low_bits(other, 12, "random", torch.Generator().manual_seed(6))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


FILLINGS: list[tuple[Fill, Rounding]] = [
    ("zeros", "truncate"),
    ("zeros", "nearest"),
    ("random", "truncate"),
]


@pytest.mark.parametrize(("fill", "rounding"), FILLINGS)
@pytest.mark.parametrize(
    "layout",
    [
        lambda tensor: tensor.to(memory_format=torch.channels_last),
        lambda tensor: tensor.permute(3, 1, 0, 2),
        lambda tensor: tensor[:, ::2, 1:],
        lambda tensor: tensor[1],
        lambda tensor: tensor[:0],
        nn.Parameter,
    ],
    ids=["channels_last", "permuted", "strided", "offset", "empty", "parameter"],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_are_cleared_in_any_memory_layout(
    dtype: torch.dtype, layout: Callable[[Tensor], Tensor], fill: Fill, rounding: Rounding
) -> None:
    tensor = layout(torch.randn(4, 6, 5, 3).to(dtype))
    before = tensor.detach().clone().contiguous()
    bits = FRACTIONS[dtype] - 2
    clear_low_bits(tensor, bits, fill, rounding=rounding)
    if fill == "random":
        assert np.array_equal(words(tensor) >> bits, words(before) >> bits)
        assert tensor.numel() == 0 or (words(tensor) != words(before)).mean() > 0.8
    else:
        clear_low_bits(before, bits, fill, rounding=rounding)
        assert np.array_equal(words(tensor), words(before))


@pytest.mark.parametrize(("fill", "rounding"), FILLINGS)
def test_only_the_view_is_changed(fill: Fill, rounding: Rounding) -> None:
    base = torch.randn(8, 8)
    before = base.clone()
    clear_low_bits(base[:, ::2], 20, fill, rounding=rounding)
    assert torch.equal(base[:, 1::2], before[:, 1::2])
    assert not torch.equal(base[:, ::2], before[:, ::2])


def test_more_elements_than_one_part() -> None:
    tensor = torch.randn(70_000 * torch.get_num_threads())
    before = words(tensor)
    assert 1 < len(list(parts(tensor))) < 8
    clear_low_bits(tensor, 9, rounding="nearest")
    assert np.array_equal(words(tensor), before + 256 >> 9 << 9)


@given(values=finite(torch.float32))
def test_16_cleared_bits_are_exactly_bfloat16(values: Tensor) -> None:
    clear_low_bits(values, 16)
    assert np.array_equal(words(values.bfloat16().float()), words(values))


def test_15_cleared_bits_are_not() -> None:
    value = torch.tensor([1.0 + 2.0**-8])
    clear_low_bits(value, 15)
    assert value.bfloat16().float() != value


def to_tf32(values: Tensor) -> Tensor:
    """The nearest number with 10 explicit fraction bits, ties to even, in NumPy."""
    bits = words(values).astype(np.uint64)
    rounded = (bits + 0xFFF + (bits >> 13 & 1)) >> 13 << 13
    return torch.from_numpy(rounded.astype(np.uint32).view(np.float32))


@given(values=finite(torch.float32))
def test_13_cleared_bits_are_exactly_tf32(values: Tensor) -> None:
    clear_low_bits(values, 13)
    assert np.array_equal(words(to_tf32(values)), words(values))


def test_12_cleared_bits_are_not() -> None:
    value = torch.tensor([1.0 + 2.0**-11])
    clear_low_bits(value, 12)
    assert to_tf32(value) != value


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_refuses_what_is_not_finite(value: float, dtype: torch.dtype) -> None:
    tensor = torch.tensor([1.1, value], dtype=dtype)
    before = words(tensor)
    with pytest.raises(CellError, match="NaN or infinity"):
        clear_low_bits(tensor, 3)
    assert np.array_equal(words(tensor), before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32, torch.bool, torch.complex64])
def test_refuses_other_dtypes(dtype: torch.dtype) -> None:
    with pytest.raises(CellError, match=f"the tensor is {dtype}"):
        clear_low_bits(torch.ones(3, dtype=dtype), 3)


@pytest.mark.parametrize(("fill", "rounding"), FILLINGS)
@pytest.mark.parametrize(
    "shared",
    [
        lambda: torch.randn(1, 4).expand(3, 4),
        lambda: torch.randn(10).unfold(0, 4, 1),
        lambda: torch.randn(3).as_strided((2, 2), (1, 1)),
    ],
    ids=["expanded", "unfolded", "strided"],
)
def test_refuses_elements_that_share_memory(
    shared: Callable[[], Tensor], fill: Fill, rounding: Rounding
) -> None:
    tensor = shared()
    before = tensor.clone()
    with pytest.raises(CellError, match=r"\A[^\n]*share memory; clone it first\Z"):
        clear_low_bits(tensor, 16, fill, rounding=rounding)
    assert torch.equal(tensor, before)
    clear_low_bits(tensor.clone(), 16, fill, rounding=rounding)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_refuses_other_numbers_of_bits(dtype: torch.dtype) -> None:
    for bits in (-1, WIDTHS[dtype]):
        with pytest.raises(ValueError, match=rf"0\.\.{WIDTHS[dtype] - 1}"):
            clear_low_bits(torch.ones(3, dtype=dtype), bits)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fill": "ones"}, "fill must be"),
        ({"rounding": "up"}, "rounding must be"),
        ({"fill": "random", "rounding": "nearest"}, "nothing to round to"),
    ],
)
def test_refuses_other_fillings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clear_low_bits(torch.ones(3), 3, **arguments)
