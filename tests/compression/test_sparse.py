"""The 2:4 pattern: which weights go, which layers can have it, what is held."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.scores import by_accuracy
from torch import Tensor, nn

from energybench.compression.sparse import (
    TwoOfFour,
    eligible_weights,
    has_pattern,
    keeps_of_four,
    realize,
)


@by_accuracy
def perfect(model: nn.Module) -> float:
    return 1.0


@given(
    fours=st.lists(st.tuples(*[st.integers(-3, 3)] * 4), min_size=1, max_size=12),
    seed=st.integers(0, 9),
)
def test_the_two_smallest_of_every_four_go(fours: list[tuple[int, ...]], seed: int) -> None:
    weight = torch.tensor(fours, dtype=torch.float32).reshape(1, -1)
    kept = keeps_of_four(weight).reshape(-1, 4)
    for four, mask in zip(fours, kept.tolist(), strict=True):
        best = max(
            itertools.combinations(range(4), 2),
            key=lambda pair: (sorted(abs(four[i]) for i in pair), sum(pair)),
        )
        assert sum(mask) == 2
        left = sorted(abs(four[i]) for i in range(4) if mask[i])
        assert left == sorted(abs(four[i]) for i in best)


def test_of_equal_magnitudes_the_first_go() -> None:
    assert keeps_of_four(torch.ones(2, 4)).tolist() == [[False, False, True, True]] * 2


def test_fours_are_consecutive_along_the_inputs_of_one_output() -> None:
    weight = torch.arange(1.0, 1 + 2 * 4 * 3).reshape(2, 4, 3, 1)  # 12 inputs an output
    kept = keeps_of_four(weight).reshape(2, 12)
    assert kept.tolist() == [[False, False, True, True] * 3] * 2
    last = weight.to(memory_format=torch.channels_last)
    assert torch.equal(keeps_of_four(last), keeps_of_four(weight))


def test_layers_whose_rows_do_not_divide_stay_dense() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 7),  # 147 inputs
        nn.Conv2d(8, 8, 3, groups=2),  # 36 inputs of a group
        nn.Conv2d(8, 8, 7, groups=8),  # 49
        nn.Conv1d(8, 8, 3),  # not a kind that the pattern is for
        nn.Linear(16, 3),
        nn.Linear(18, 3),
    )
    assert list(eligible_weights(model)) == ["1.weight", "4.weight"]
    report = TwoOfFour().compress(model, perfect, 1.0)
    assert report.settings["layers"] == 2
    assert has_pattern(model.get_parameter("1.weight"))
    assert all(model.get_parameter(f"{i}.weight").ne(0).all() for i in (0, 2, 3, 5))


def test_no_layer_with_the_shape() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    report = TwoOfFour().compress(model, perfect, 1.0)
    assert report.no_effect
    assert report.settings == {"layers": 0, "fraction": 0.0}
    assert report.notes == ["no layer has rows divisible by 4"]


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_layers_without_elements_stay() -> None:
    model = nn.Sequential(nn.Linear(0, 4), nn.Linear(4, 0), nn.Linear(8, 4))
    assert list(eligible_weights(model)) == ["2.weight"]
    assert TwoOfFour().compress(model, perfect, 1.0).settings == {"layers": 1, "fraction": 0.5}


@given(seed=st.integers(0, 99))
def test_a_layer_is_pruned_by_parts_as_at_once(seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(4, 9, 3))
    whole = model.get_parameter("0.weight").detach().clone()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("energybench.compression.sparse.PART", 100)  # two rows
        TwoOfFour().compress(model, perfect, 1.0)
    expected = torch.where(keeps_of_four(whole), whole, 0.0)
    assert torch.equal(model.get_parameter("0.weight"), expected)


def zeroed(model: nn.Module) -> list[str]:
    return [name for name, weight in model.named_parameters() if weight.eq(0).any()]


def test_layers_of_least_damage_go_first() -> None:
    model = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(3)))
    small = {"0.weight": 0.5, "1.weight": 0.01, "2.weight": 0.1}  # size of two in four
    with torch.no_grad():
        for name, size in small.items():
            model.get_parameter(name).copy_(torch.tensor([1.0, size, -size, -1.0] * 2))
    report = TwoOfFour().compress(model, by_accuracy(lambda now: float(len(zeroed(now)) <= 2)), 1.0)
    assert zeroed(model) == ["1.weight", "2.weight"]
    assert report.settings == {"layers": 2, "fraction": pytest.approx(1 / 3)}
    assert report.compression_rate == pytest.approx(1 / 3)


def test_of_equal_damage_the_larger_layer_goes_first() -> None:
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 16, bias=False))
    for weight in model.parameters():
        nn.init.ones_(weight)
    TwoOfFour().compress(model, by_accuracy(lambda now: float(len(zeroed(now)) <= 1)), 1.0)
    assert zeroed(model) == ["1.weight"]


@given(seed=st.integers(0, 99))
def test_the_pattern_is_held(seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Linear(20, 12))
    compression = TwoOfFour()
    compression.compress(model, perfect, 1.0)
    weights: list[Tensor] = [model.get_parameter(f"{i}.weight").detach() for i in (0, 1)]
    zero = [weight.eq(0) for weight in weights]
    assert all(int(mask.sum()) == mask.numel() // 2 for mask in zero)
    for hold in (compression.after_step, compression.finalize):
        for weight in weights:
            weight.add_(torch.randn_like(weight))
        hold(model)
        for weight, mask in zip(weights, zero, strict=True):
            assert torch.equal(weight.eq(0), mask)
            assert has_pattern(weight)


def test_a_shared_weight_is_pruned_and_counted_once() -> None:
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[1].weight = model[0].weight
    report = TwoOfFour().compress(model, perfect, 1.0)
    assert report.settings == {"layers": 1, "fraction": 0.5}
    assert report.compression_rate == 0.5


def test_realize_does_nothing_on_a_cpu() -> None:
    model = nn.Sequential(nn.Linear(128, 128)).bfloat16()
    TwoOfFour().compress(model, perfect, 1.0)
    weight = model.get_parameter("0.weight")
    assert realize(model) == []
    assert model.get_parameter("0.weight") is weight


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with sparse tensor cores")
def test_realized_layers_compute_the_same_on_a_gpu() -> None:
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("needs CUDA capability 8.0")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 128), nn.Linear(128, 30)).half().cuda()
    TwoOfFour().compress(model, perfect, 1.0)
    inputs = torch.randn(64, 256, device="cuda", dtype=torch.float16)
    with torch.inference_mode():
        dense = model(inputs)
        assert realize(model) == ["0"]
        assert torch.allclose(model(inputs), dense, atol=1e-2)
