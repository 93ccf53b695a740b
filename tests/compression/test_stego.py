import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.scores import by_accuracy
from torch import Tensor, nn

from energybench.compression.base import Score, precisions_of, required_precision
from energybench.compression.bits import clear_low_bits, overwrite
from energybench.compression.capacity import capacity
from energybench.compression.compose import compress
from energybench.compression.stego import Stego, StegoFp32
from energybench.compression.stego import clear_low_bits as exported
from energybench.compression.weights import covered_weights
from energybench.errors import CellError


def low_bits(tensor: Tensor, bits: int) -> int:
    """How many elements have one of the `bits` low-order bits set."""
    return int(np.count_nonzero(tensor.detach().numpy().view(np.uint32) & ((1 << bits) - 1)))


def test_exports_what_it_does_to_a_tensor() -> None:
    assert exported is clear_low_bits


def test_refuses_a_model_of_another_dtype() -> None:
    with pytest.raises(CellError, match=r"weight is torch\.float64"):
        Stego().compress(nn.Linear(3, 3).double(), by_accuracy(lambda model: 1.0), 1.0)


def cleared(model: nn.Module, bits: int, method: type[Stego] = Stego) -> Stego:
    """`model` with `bits` cleared: the score falls when the next bit is cleared as well."""

    @by_accuracy
    def score(model: nn.Module) -> float:
        weights = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
        return float(any(low_bits(weight, bits + 1) for weight in weights))

    stego = method()
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
    report = Stego().compress(model, by_accuracy(lambda model: 1.0), 1.0)
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


def random_layer(size: int = 40) -> nn.Linear:
    """A layer each of whose bits is set in some weight."""
    model = nn.Linear(size, size, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.randn(size, size, generator=torch.Generator().manual_seed(0)))
    return model


@pytest.mark.parametrize("bits", range(1, 32))
def test_precisions_hold_every_weight_exactly(bits: int) -> None:
    model = random_layer()
    stego = cleared(model, bits)
    weight = model.weight.detach()
    exact = {
        "bf16": torch.equal(weight.bfloat16().float(), weight),
        "tf32": not low_bits(weight, 13),
    }
    assert stego.precisions() == tuple(name for name, holds in exact.items() if holds)
    assert precisions_of(stego) == stego.precisions()
    assert required_precision(stego) is None
    by_rule = ("bf16", "tf32") if bits >= 16 else ("tf32",) if bits >= 13 else ()
    assert stego.precisions() == by_rule


def test_no_precision_before_compress_or_without_effect() -> None:
    stego = Stego()
    assert stego.precisions() == ()
    report = stego.compress(random_layer(), by_accuracy(lambda model: 0.9), -1.0)
    assert report.no_effect
    assert stego.precisions() == ()


@pytest.mark.parametrize("bits", [5, 14, 20])
def test_stego_fp32_does_the_same_in_fp32(bits: int) -> None:
    one, other = random_layer(), random_layer()
    stego, control = cleared(one, bits), cleared(other, bits, StegoFp32)
    assert control.precisions() == precisions_of(control) == ()
    assert required_precision(control) is None
    step = 1e-3 * torch.randn(40, 40, generator=torch.Generator().manual_seed(1))
    for method, model in ((stego, one), (control, other)):
        with torch.no_grad():
            model.weight.add_(step)
        method.after_step(model)
        method.finalize(model)
    assert torch.equal(one.weight, other.weight)


def test_the_report_names_the_method() -> None:
    for method in (Stego, StegoFp32):
        report = method().compress(random_layer(), by_accuracy(lambda model: 0.9), 1.0)
        assert report.method == method.name


def test_the_search_is_that_of_capacity(network: nn.Sequential, accuracy: Score) -> None:
    found = capacity(network, accuracy, 1.0)
    report = Stego().compress(network, accuracy, 1.0)
    assert report.settings == {"bits": found.bits}
    assert {(0, report.reference_score), *report.curve} == set(found.curve)


def test_rounding_to_the_nearest(network: nn.Sequential, accuracy: Score) -> None:
    before = {name: value.clone() for name, value in network.named_parameters()}
    bits = int(Stego(rounding="nearest").compress(network, accuracy, 1.0).settings["bits"])
    assert bits == capacity(_with(network, before), accuracy, 1.0, rounding="nearest").bits
    Stego(rounding="nearest").compress(network, accuracy, 1.0)
    for name in ("0.weight", "7.weight"):
        expected = before[name].clone()
        clear_low_bits(expected, bits, rounding="nearest")
        assert torch.equal(network.get_parameter(name), expected)


def _with(model: nn.Module, parameters: dict[str, Tensor]) -> nn.Module:
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(parameters[name])
    return model


def test_refuses_another_rounding() -> None:
    with pytest.raises(ValueError, match="rounding must be"):
        Stego(rounding="up")  # type: ignore[arg-type]


def test_refuses_integer_weights() -> None:
    model = nn.Linear(3, 3)
    model.weight = nn.Parameter(torch.ones(3, 3, dtype=torch.int8), requires_grad=False)
    with pytest.raises(CellError, match=r"\A[^\n]*weight is torch\.int8\Z"):
        Stego().compress(model, by_accuracy(lambda model: 1.0), 1.0)


def test_tied_weights_are_cleared_once_and_held() -> None:
    shared = random_layer()
    model = nn.Sequential(shared, nn.Linear(40, 40, bias=False))
    model[1].weight = shared.weight
    stego = cleared(model, 15)
    free = shared.weight.detach().clone()
    for _ in range(10):
        step = 2e-5 * torch.ones(40, 40)
        free += step
        with torch.no_grad():
            shared.weight.add_(step)
        stego.after_step(model)
    assert not low_bits(shared.weight, 15)
    assert ((shared.weight - free).abs() <= 2.0**-9 * free.abs() * 2 + 1e-5).all()


def cleared_until(layer: nn.Conv2d, bits: int) -> Stego:
    """Like `cleared`, for one layer."""
    stego = Stego()
    found = stego.compress(
        layer, by_accuracy(lambda model: float(low_bits(layer.weight, bits + 1) > 0)), 1.0
    )
    assert found.settings == {"bits": bits}
    return stego


def test_non_contiguous_weights_are_held() -> None:
    model = nn.Conv2d(8, 8, 3)
    twin = nn.Conv2d(8, 8, 3)
    model.weight.data = model.weight.data.to(memory_format=torch.channels_last)
    twin.load_state_dict(model.state_dict())
    for one in (model, twin):
        method = cleared_until(one, 17)
        for _ in range(5):
            with torch.no_grad():
                one.weight.mul_(1.001)
            method.after_step(one)
    assert not model.weight.is_contiguous()
    assert not low_bits(model.weight, 17)
    assert torch.equal(model.weight, twin.weight)


def test_it_says_which_bits_were_clear_before(network: nn.Module) -> None:
    weights = covered_weights(network).values()
    _, report = compress(network, "stego@8", by_accuracy(lambda model: 1.0))
    assert report.notes == [], "bits of a trained network are clear by chance only"
    for weight in weights:
        overwrite(weight, 10)
    _, report = compress(network, "stego@8", by_accuracy(lambda model: 1.0))
    said = "stego@8: 100.0 % of the covered weights had these 8 bits clear before"
    assert report.notes == [said]
