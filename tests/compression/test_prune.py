import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.scores import by_accuracy
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from energybench.compression.prune import COUNTED, Magnitudes, Prune, PruneLayerwise
from energybench.compression.weights import Zeros
from energybench.errors import CellError


def masks_of(weights: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """True where the `count` smallest are; needs that many that are not zero."""
    zeroed = {name: torch.empty_like(weight) for name, weight in weights.items()}
    pairs = [(zeroed[name], weight) for name, weight in weights.items()]
    Magnitudes(list(weights.values()), [count]).cut(count).zero(pairs)
    for name, weight in weights.items():
        assert torch.equal(zeroed[name][zeroed[name] != 0], weight[zeroed[name] != 0])
    return {name: zero == 0 for name, zero in zeroed.items()}


def zero_share(model: nn.Module) -> float:
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / sum(weight.numel() for weight in weights)


def pruned(model: nn.Module, fraction: float) -> Prune:
    """`model` pruned to `fraction`: the score falls beyond it."""
    compression = Prune()
    report = compression.compress(
        model, by_accuracy(lambda now: float(zero_share(now) < fraction + 5e-3)), 1.0
    )
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


def test_layerwise_masks_are_those_of_torch(network: nn.Sequential) -> None:
    theirs = copy.deepcopy(network)
    layers = [m for m in theirs if isinstance(m, nn.Linear | nn.Conv2d)]
    for layer in layers:
        torch_prune.l1_unstructured(layer, "weight", amount=0.37)

    @by_accuracy
    def up_to(now: nn.Module) -> float:
        return float(zero_share(now) < 0.375)

    report = PruneLayerwise().compress(network, up_to, 1.0)
    assert report.settings == {"fraction": 0.37}
    ours = [m for m in network if isinstance(m, nn.Linear | nn.Conv2d)]
    for mine, their in zip(ours, layers, strict=True):
        assert torch.equal(mine.weight != 0, their.get_buffer("weight_mask").bool())


@given(
    values=st.lists(st.sampled_from([-3, -2, -1, 1, 2, 3]), min_size=2, max_size=60),
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
    limit = magnitudes[marked].max()
    ties = (magnitudes == limit).nonzero().flatten()
    assert marked[ties].tolist() == sorted(marked[ties].tolist(), reverse=True), "the first ones"


@given(
    values=st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=200
    ),
    data=st.data(),
)
def test_selects_what_sorting_selects(values: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(values)))
    for dtype in (torch.float32, torch.float64):
        tensor = torch.tensor(values, dtype=dtype)
        cut = Magnitudes(list(tensor.split(7)), [count]).cut(count)
        assert cut.threshold == tensor.abs().sort().values[count - 1]


def test_selects_over_more_than_one_part() -> None:
    torch.manual_seed(0)
    weights = [torch.randn(COUNTED + 5), torch.randn(3), torch.randn(70_000)]
    ascending = torch.cat(weights).abs().sort().values
    counts = [1, 2, 1000, COUNTED, len(ascending)]
    magnitudes = Magnitudes(weights, counts)
    for count in counts:
        assert magnitudes.cut(count).threshold == ascending[count - 1]


def test_first_of_equal_magnitudes_in_any_layout() -> None:
    weight = torch.ones(2, 2, 3, 3)
    plain = masks_of({"w": weight}, 7)["w"]
    last = masks_of({"w": weight.to(memory_format=torch.channels_last)}, 7)["w"]
    assert plain.flatten().nonzero().flatten().tolist() == list(range(7))
    assert torch.equal(plain, last)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_float_dtypes_are_pruned_alike(dtype: torch.dtype) -> None:
    weight = torch.randn(40, 40, dtype=dtype)
    mask = masks_of({"w": weight}, 300)["w"]
    assert int(mask.sum()) == 300
    assert weight[mask].abs().max() <= weight[~mask].abs().min()


def test_shared_weights_count_once() -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False))
    model[1].weight = model[0].weight
    compression = Prune()
    report = compression.compress(model, by_accuracy(lambda model: 1.0), 1.0)
    assert report.settings == {"fraction": 0.99}
    assert int((model.get_parameter("0.weight") == 0).sum()) == 99
    assert report.compression_rate == 0.99


def test_model_has_no_trace_of_the_masks(network: nn.Sequential) -> None:
    names = list(network.state_dict())
    compression = pruned(network, 0.5)
    assert list(network.state_dict()) == names
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in network.modules())
    assert all(not isinstance(value, Tensor) for value in vars(compression).values())


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
    report = Prune().compress(model, by_accuracy(lambda model: 1.0), 1.0)
    assert report.compression_rate == 1.0
    report = Prune().compress(
        nn.Linear(4, 2), by_accuracy(lambda now: float(now.get_parameter("weight").ne(0).all())), 1
    )
    assert report.no_effect


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_zeros_hold_in_any_dtype_and_layout(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 5, 3).to(dtype=dtype)
    layer.weight.data = layer.weight.data.to(memory_format=torch.channels_last)
    weight = layer.weight.detach()
    kept = torch.randn_like(weight) > 0
    zeros = Zeros([("weight", kept)])
    before = weight.clone()
    weight[~kept] = float("nan")
    zeros.hold(layer)
    assert torch.equal(weight, torch.where(kept, before, 0.0))


def test_weights_that_are_zero_already_are_not_counted_as_pruned() -> None:
    model = nn.Linear(10, 10, bias=False)
    with torch.no_grad():
        model.weight[:5] = 0.0
    report = Prune().compress(
        model, by_accuracy(lambda now: 1.0 if zero_share(now) < 0.755 else 0.0), 1.0
    )
    assert report.settings == {"fraction": 0.75}
    assert report.compression_rate == pytest.approx(0.5)
    assert [setting for setting, _ in report.curve if setting <= 0.5] == []


def test_integer_weights_are_refused_in_one_line() -> None:
    model = nn.Linear(4, 4, bias=False)
    model.weight = nn.Parameter(torch.ones(4, 4, dtype=torch.int8), requires_grad=False)
    with pytest.raises(CellError, match=r"\A[^\n]*weight[^\n]*torch.int8[^\n]*\Z"):
        Prune().compress(model, by_accuracy(lambda now: 1.0), 1.0)


def test_training_goes_on_with_the_weights_that_were_pruned_before(
    network: nn.Sequential,
) -> None:
    """Not with those that pruning a model of slightly other weights would choose."""
    other = copy.deepcopy(network)
    before = pruned(network, 0.5)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.copy_(parameter.flip(0))
    after = pruned(other, 0.5)
    after.load_training_state({k: v.clone() for k, v in before.training_state().items()})
    expected = {name: value == 0 for name, value in network.state_dict().items()}
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    after.after_step(other)
    for name, weight in other.named_parameters():
        if weight.dim() > 1:
            assert torch.equal(weight == 0, expected[name]), name
