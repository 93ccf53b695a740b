from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn

from energybench.compression.stego import Stego, clear_low_bits
from energybench.errors import CellError

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
arrays = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=0, min_side=0, max_dims=4), elements=floats
)


def low_bits(tensor: Tensor, bits: int) -> int:
    """How many elements have one of the `bits` low-order bits set."""
    return int(np.count_nonzero(tensor.detach().numpy().view(np.uint32) & ((1 << bits) - 1)))


@given(values=arrays, bits=st.integers(0, 31))
def test_clears_exactly_the_low_bits(values: np.ndarray, bits: int) -> None:
    tensor = torch.from_numpy(values.copy())
    clear_low_bits(tensor, bits)
    expected = values.view(np.uint32) & np.uint32(0xFFFFFFFF << bits & 0xFFFFFFFF)
    assert tensor.numpy().view(np.uint32).tobytes() == expected.tobytes()
    assert np.array_equal(np.signbit(tensor.numpy()), np.signbit(values))
    assert (np.abs(tensor.numpy()) <= np.abs(values)).all()


@pytest.mark.parametrize(
    "layout",
    [
        lambda tensor: tensor.to(memory_format=torch.channels_last),
        lambda tensor: tensor.permute(3, 1, 0, 2),
        lambda tensor: tensor[:, ::2, 1:],
        nn.Parameter,
    ],
    ids=["channels_last", "permuted", "strided", "parameter"],
)
def test_any_layout(layout: Callable[[Tensor], Tensor]) -> None:
    base = torch.randn(4, 6, 5, 3)
    tensor = layout(base)
    expected = tensor.detach().clone().contiguous()
    clear_low_bits(expected, 17)
    clear_low_bits(tensor, 17)
    assert torch.equal(tensor.detach(), expected)


def test_only_the_view_is_cleared() -> None:
    base = torch.randn(8, 8)
    before = base.clone()
    clear_low_bits(base[:, ::2], 20)
    assert torch.equal(base[:, 1::2], before[:, 1::2])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_refuses_what_is_not_finite(value: float) -> None:
    tensor = torch.tensor([1.1, value])
    with pytest.raises(CellError, match="NaN or infinity"):
        clear_low_bits(tensor, 3)
    assert tensor[0] == torch.tensor(1.1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32])
def test_refuses_other_dtypes(dtype: torch.dtype) -> None:
    with pytest.raises(CellError, match=str(dtype)):
        clear_low_bits(torch.ones(3, dtype=dtype), 3)


@pytest.mark.parametrize("bits", [-1, 32])
def test_refuses_other_numbers_of_bits(bits: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.31"):
        clear_low_bits(torch.ones(3), bits)


def test_refuses_a_model_of_another_dtype() -> None:
    with pytest.raises(CellError, match=r"weight is torch\.float64"):
        Stego().compress(nn.Linear(3, 3).double(), lambda model: 1.0, 1.0)


def cleared(model: nn.Module, bits: int) -> Stego:
    """`model` with `bits` cleared: the score falls when the next bit is cleared as well."""

    def score(model: nn.Module) -> float:
        weights = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
        return float(any(low_bits(weight, bits + 1) for weight in weights))

    stego = Stego()
    assert stego.compress(model, score, 1.0).settings == {"bits": bits}
    return stego


def test_covers_the_weights_of_layers_only() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 4))
    nn.init.normal_(model.get_parameter("1.weight"))
    before = {name: value.clone() for name, value in model.named_parameters()}
    report_bits = 12
    cleared(model, report_bits)
    for name, value in model.named_parameters():
        changed = not torch.equal(value, before[name])
        assert changed == (name in ("0.weight", "2.weight")), name
    assert not low_bits(model.get_parameter("0.weight"), report_bits)


def test_rate_is_the_share_of_all_storage() -> None:
    model = nn.Linear(30, 10)
    report = Stego().compress(model, lambda model: 1.0, 1.0)
    assert report.settings == {"bits": 31}
    assert report.compression_rate == pytest.approx(31 / 32 * 300 / 310)


@given(bits=st.integers(1, 22), seed=st.integers(0, 99))
def test_held_weights_follow_full_precision(bits: int, seed: int) -> None:
    """Bits stay clear after each step, and all steps together arrive where floats would."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Linear(16, 8, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.randn(8, 16, generator=generator))
    stego = cleared(model, bits)
    free = model.weight.detach().clone()
    for _ in range(20):
        step = 2e-4 * torch.randn(8, 16, generator=generator)
        free += step
        with torch.no_grad():
            model.weight.add_(step)
        stego.after_step(model)
        assert not low_bits(model.weight, bits)
    half_unit = 2.0 ** (bits - 24) * free.abs() * 2  # of the larger binade at its edge
    assert ((model.weight - free).abs() <= half_unit + 1e-5).all()
    stego.finalize(model)
    assert not low_bits(model.weight, bits)


def test_held_weights_do_not_shrink() -> None:
    generator = torch.Generator().manual_seed(0)
    model = nn.Linear(100, 100, bias=False)
    stego = cleared(model, 19)
    before = model.weight.abs().mean().item()
    for _ in range(50):
        with torch.no_grad():
            model.weight.add_(1e-5 * torch.randn(100, 100, generator=generator))
        stego.after_step(model)
    assert model.weight.abs().mean().item() == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("bits", [16, 23, 28])
def test_finalize_refuses_a_diverged_model(bits: int) -> None:
    model = nn.Linear(40, 40, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.logspace(-30, 8, 1600).reshape(40, 40))
    stego = cleared(model, bits)
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    stego.after_step(model)
    with pytest.raises(CellError, match="NaN or infinity"):
        stego.finalize(model)
