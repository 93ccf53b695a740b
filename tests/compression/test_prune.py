import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from energybench.compression.prune import Prune, smallest, thresholds


def masks_of(weights: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    (threshold,) = thresholds(weights, [count])
    return smallest(weights, count, threshold)


def zero_share(model: nn.Module) -> float:
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / sum(weight.numel() for weight in weights)


def pruned(model: nn.Module, fraction: float) -> Prune:
    """`model` pruned to `fraction`: the score falls beyond it."""
    compression = Prune()
    report = compression.compress(model, lambda now: float(zero_share(now) < fraction + 5e-3), 1.0)
    assert report.settings == {"fraction": fraction}
    return compression


@pytest.mark.parametrize("fraction", [0.01, 0.37, 0.5, 0.99])
def test_same_masks_as_torch(fraction: float, network: nn.Sequential) -> None:
    theirs = copy.deepcopy(network)
    layers = [m for m in theirs if isinstance(m, nn.Linear | nn.Conv2d)]
    torch_prune.global_unstructured(
        [(layer, "weight") for layer in layers], torch_prune.L1Unstructured, amount=fraction
    )
    pruned(network, fraction)
    ours = [m for m in network if isinstance(m, nn.Linear | nn.Conv2d)]
    for mine, their in zip(ours, layers, strict=True):
        assert torch.equal(mine.weight != 0, their.get_buffer("weight_mask").bool())
        assert torch.equal(mine.weight, their.weight)


@given(
    values=st.lists(st.integers(-3, 3), min_size=2, max_size=60),
    share=st.floats(0.0, 1.0),
    cut=st.integers(1, 59),
)
def test_ties_prune_exactly_the_count(values: list[int], share: float, cut: int) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)
    weights = {"a": tensor[:cut], "b": tensor[cut:]}
    count = max(1, round(share * len(values)))
    masks = masks_of(weights, count)
    marked = torch.cat([masks["a"], masks["b"]])
    assert int(marked.sum()) == count
    magnitudes = tensor.abs()
    assert magnitudes[marked].sort().values.tolist() == magnitudes.sort().values[:count].tolist()


def test_first_of_equal_magnitudes_in_any_layout() -> None:
    weight = torch.ones(2, 2, 3, 3)
    plain = masks_of({"w": weight}, 7)["w"]
    last = masks_of({"w": weight.to(memory_format=torch.channels_last)}, 7)["w"]
    assert plain.flatten().nonzero().flatten().tolist() == list(range(7))
    assert torch.equal(plain, last)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype: torch.dtype) -> None:
    weight = torch.randn(40, 40, dtype=dtype)
    mask = masks_of({"w": weight}, 300)["w"]
    assert int(mask.sum()) == 300
    assert weight[mask].abs().max() <= weight[~mask].abs().min()


def test_shared_weights_count_once() -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False))
    model[1].weight = model[0].weight
    compression = Prune()
    report = compression.compress(model, lambda model: 1.0, 1.0)
    assert report.settings == {"fraction": 0.99}
    assert int((model.get_parameter("0.weight") == 0).sum()) == 99
    assert report.compression_rate == 0.99


def test_model_has_no_trace_of_the_masks(network: nn.Sequential) -> None:
    names = list(network.state_dict())
    compression = pruned(network, 0.5)
    assert list(network.state_dict()) == names
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in network.modules())
    assert all(mask.dtype == torch.bool for mask in compression._masks.values())


@given(fraction=st.integers(1, 99), seed=st.integers(0, 99))
def test_zeros_stay_zero(fraction: int, seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(20, 10))
    compression = pruned(model, fraction / 100)
    weights = [model.get_parameter("0.weight"), model.get_parameter("1.weight")]
    zero = [weight.eq(0) for weight in weights]
    with torch.no_grad():
        for weight in weights:
            weight.add_(torch.randn_like(weight))
        weights[0][zero[0]] = float("inf")
    compression.after_step(model)
    for weight, mask in zip(weights, zero, strict=True):
        assert torch.equal(weight.eq(0), mask)
        assert not torch.signbit(weight[mask]).any()


def test_tiny_models_skip_fractions_that_prune_nothing() -> None:
    model = nn.Linear(4, 2, bias=False)
    report = Prune().compress(model, lambda model: 1.0, 1.0)
    assert report.compression_rate == 1.0
    report = Prune().compress(
        nn.Linear(4, 2), lambda now: float(now.get_parameter("weight").ne(0).all()), 1
    )
    assert report.no_effect
