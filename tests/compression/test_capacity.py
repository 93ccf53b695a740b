"""Capacity by bisection and by sweep, of scores with a known edge and of a trained network."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.scores import by_accuracy
from torch import Tensor, nn

from energybench.compression.base import Score
from energybench.compression.capacity import capacity
from energybench.compression.stego import Capacity
from energybench.compression.stego import capacity as exported
from energybench.errors import CellError


def low_bits(tensor: Tensor) -> int:
    """How many low-order bits are clear in every element."""
    together = np.bitwise_or.reduce(tensor.detach().numpy().view(np.uint32), axis=None)
    return 32 if together == 0 else int(together & -together.astype(np.int64)).bit_length() - 1


def state(model: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def layer(size: int = 8) -> nn.Linear:
    """A layer each of whose bits is set in some weight."""
    model = nn.Linear(size, size)
    with torch.no_grad():
        model.weight.copy_(torch.randn(size, size, generator=torch.Generator().manual_seed(0)))
    assert low_bits(model.weight) == 0
    return model


def by_bits(curve: Mapping[int, float] | Callable[[int], float]) -> Score:
    """Accuracy by how many low-order bits of the first weight are clear."""
    read = curve.__getitem__ if isinstance(curve, Mapping) else curve

    @by_accuracy
    def score(model: nn.Module) -> float:
        return read(low_bits(next(model.parameters())))

    return score


def edge(bits: int) -> Score:
    return by_bits(lambda clear: 0.9 if clear <= bits else 0.5)


def test_exported_with_the_method() -> None:
    assert exported is capacity


@pytest.mark.parametrize("bits", range(32))
def test_both_strategies_find_every_edge(bits: int) -> None:
    model = layer()
    before = state(model)
    found = capacity(model, edge(bits), 1.0)
    swept = capacity(model, edge(bits), 1.0, strategy="sweep")
    assert found.bits == swept.bits == bits
    assert found.monotone
    assert swept.monotone
    assert found.evaluations <= 7
    assert swept.evaluations == 32
    assert [count for count, _ in swept.curve] == list(range(32))
    assert state(model) == before


@pytest.mark.parametrize("bits", range(32))
def test_bisection_looks_at_both_neighbours(bits: int) -> None:
    tried = [count for count, _ in capacity(layer(), edge(bits), 1.0).curve]
    assert {max(bits - 1, 0), bits, min(bits + 1, 31)} <= set(tried)
    assert len(set(tried)) == len(tried)
    assert tried == sorted(tried)


@given(data=st.data())
def test_bisection_agrees_with_the_sweep_wherever_it_looks(data: st.DataObject) -> None:
    """Bisection is never above, unless the sweep's first refusal is one it did not look at."""
    within = data.draw(st.lists(st.booleans(), min_size=31, max_size=31))
    curve = {0: 0.9} | {bits: 0.9 if good else 0.5 for bits, good in enumerate(within, 1)}
    calls = 0

    @by_accuracy
    def score(model: nn.Module) -> float:
        nonlocal calls
        calls += 1
        return curve[low_bits(next(model.parameters()))]

    found = capacity(layer(), score, 1.0)
    assert calls == found.evaluations <= 12  # 8 where an accepted count is left after them
    assert found.bits or not within[0], "no bits only where 1 was refused"
    swept = capacity(layer(), by_bits(curve), 1.0, strategy="sweep")
    first_refused = [*within, False].index(False) + 1
    assert swept.bits == first_refused - 1
    assert swept.monotone == (True not in within[first_refused:])
    looked_at = dict(found.curve)
    refused = [bits for bits, accuracy in found.curve if accuracy < 0.89]
    accepted = [bits for bits, accuracy in found.curve if accuracy >= 0.89]
    assert found.bits == max(bits for bits in accepted if bits < min(refused, default=32))
    assert found.monotone == (max(accepted) == found.bits)
    if first_refused in looked_at:
        assert found.bits <= swept.bits


def test_one_lucky_count_above_the_edge_does_not_mislead() -> None:
    lucky = {bits: 0.9 if bits <= 18 or bits == 20 else 0.5 for bits in range(32)}
    found = capacity(layer(), by_bits(lucky), 1.0)
    assert found.bits == capacity(layer(), by_bits(lucky), 1.0, strategy="sweep").bits == 18
    assert not found.monotone


def test_a_drop_of_exactly_the_tolerance_is_within_it() -> None:
    curve = by_bits(lambda clear: {0: 0.9}.get(clear, 0.89 if clear < 10 else 0.8))
    assert capacity(layer(), curve, 1.0).bits == 9
    assert capacity(layer(), curve, 0.99).bits == 0


def test_capacity_in_bytes() -> None:
    found = capacity(layer(), edge(12), 1.0)
    assert found.weights == 64
    assert found.capacity_bytes == 12 * 64 / 8


def test_a_tolerance_that_nothing_satisfies() -> None:
    model = layer()
    before = state(model)
    found = capacity(model, edge(0), 1.0)
    assert (found.bits, found.capacity_bytes) == (0, 0.0)
    assert capacity(model, by_bits(lambda clear: 0.9), -1.0).bits == 0
    assert state(model) == before


def test_tied_weights_are_altered_and_counted_once() -> None:
    shared = layer()
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(8, 8))
    model[3].weight = shared.weight
    found = capacity(model, edge(17), 1.0, per_layer=True)
    assert (found.bits, found.weights) == (17, 64)
    assert list(found.layers) == ["0.weight"]
    assert capacity(model, edge(17), 1.0, scope="all").weights == 64 + 8 + 8


def test_scope_all_covers_every_parameter() -> None:
    model = nn.Sequential(layer(), nn.LayerNorm(8))
    nn.init.normal_(model.get_parameter("1.weight"))
    seen: set[str] = set()
    before = {name: value.clone() for name, value in model.named_parameters()}

    @by_accuracy
    def score(model: nn.Module) -> float:
        seen.update(n for n, v in model.named_parameters() if not torch.equal(v, before[n]))
        return 0.9

    capacity(model, score, 1.0)
    assert seen == {"0.weight"}
    found = capacity(model, score, 1.0, scope="all")
    assert seen == {"0.weight", "0.bias", "1.weight"}  # 1.bias is all zeros
    assert found.weights == 64 + 8 + 8 + 8


@pytest.mark.parametrize("strategy", ["bisect", "sweep"])
@pytest.mark.parametrize("rounding", ["truncate", "nearest"])
def test_weights_scored_are_the_originals_with_bits_overwritten(
    strategy: Any, rounding: Any
) -> None:
    """Also where the sweep starts from the weights of the step before."""
    from energybench.compression.bits import clear_low_bits

    model = layer()
    expected: dict[bytes, int] = {}
    for bits in range(32):
        altered = model.weight.detach().clone()
        clear_low_bits(altered, bits, rounding=rounding)
        expected.setdefault(altered.numpy().tobytes(), bits)
    scored: list[int] = []

    @by_accuracy
    def score(model: nn.Module) -> float:
        scored.append(expected[next(model.parameters()).detach().numpy().tobytes()])
        return 0.9 if scored[-1] < 20 else 0.1

    found = capacity(model, score, 1.0, strategy=strategy, rounding=rounding)
    assert found.bits == 19
    assert set(scored) == {bits for bits, _ in found.curve}


def test_random_bits_are_the_same_for_both_strategies_and_for_one_seed() -> None:
    def weights_by_bits(strategy: Any, seed: int | None) -> dict[int, bytes]:
        seen: list[bytes] = []

        @by_accuracy
        def score(model: nn.Module) -> float:
            seen.append(model.get_parameter("weight").detach().numpy().tobytes())
            return 0.9

        model = layer()
        random = torch.get_rng_state()
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        found = capacity(model, score, 1.0, fill="random", strategy=strategy, generator=generator)
        assert torch.equal(torch.get_rng_state(), random)
        return dict(zip([bits for bits, _ in found.curve], seen, strict=True))

    swept = weights_by_bits("sweep", 3)
    assert swept == weights_by_bits("sweep", 3)
    assert swept != weights_by_bits("sweep", 4)
    bisected = weights_by_bits("bisect", 3)  # accepts all: its counts ascend
    assert all(swept[bits] == weights for bits, weights in bisected.items())
    assert weights_by_bits("bisect", None) == weights_by_bits("bisect", 0)


def test_per_layer_alters_one_layer_at_a_time() -> None:
    parts = [layer(), layer(), layer()]
    model = nn.Sequential(*parts)
    before = [part.weight.detach().clone() for part in parts]
    needs = (4, 30, 17)
    changed: set[tuple[int, ...]] = set()

    @by_accuracy
    def score(model: nn.Module) -> float:
        weights = [part.weight for part in parts]
        pairs = enumerate(zip(weights, before, strict=True))
        changed.add(tuple(at for at, (now, was) in pairs if not torch.equal(now, was)))
        clear = [low_bits(weight) for weight in weights]
        return 0.9 if all(n <= need for n, need in zip(clear, needs, strict=True)) else 0.1

    found = capacity(model, score, 1.0, per_layer=True)
    assert found.bits == 4
    assert {name: one.bits for name, one in found.layers.items()} == {
        "0.weight": 4,
        "1.weight": 30,
        "2.weight": 17,
    }
    assert changed == {(), (0,), (1,), (2,), (0, 1, 2)}
    assert all(one.reference == found.reference for one in found.layers.values())
    assert all(one.evaluations == len(one.curve) - 1 for one in found.layers.values())
    assert found.layers["1.weight"].capacity_bytes == 30 * 64 / 8


def test_a_trained_network_ends_bit_for_bit_as_it_was(
    network: nn.Sequential, accuracy: Score
) -> None:
    before = state(network)
    results: list[Capacity] = []
    for strategy in ("bisect", "sweep"):
        results.append(capacity(network, accuracy, 1.0, strategy=strategy, per_layer=True))
        assert state(network) == before
        assert network.training
    bisected, swept = results
    assert 12 < bisected.bits == swept.bits < 26
    assert bisected.curve[0] == (0, accuracy(network))
    assert set(bisected.curve) <= set(swept.curve)
    assert all(one.bits >= swept.bits for one in swept.layers.values())


@pytest.mark.parametrize("strategy", ["bisect", "sweep"])
@pytest.mark.parametrize("fill", ["zeros", "random"])
def test_an_error_in_the_score_leaves_the_model_as_it_was(strategy: Any, fill: Any) -> None:
    model = layer()
    before, calls = state(model), 0

    @by_accuracy
    def score(model: nn.Module) -> float:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("out of memory")
        return 0.9

    with pytest.raises(RuntimeError, match="out of memory") as caught:
        capacity(model, score, 1.0, fill=fill, strategy=strategy)
    assert state(model) == before
    assert caught.value is not None


@pytest.mark.parametrize("strategy", ["bisect", "sweep"])
@pytest.mark.parametrize("filling", [("zeros", "truncate"), ("zeros", "nearest"), ("random",)])
def test_one_copy_of_the_weights_beside_the_model(
    strategy: Any, filling: tuple[Any, ...], memory_peak: Callable[[], Any]
) -> None:
    model = nn.Sequential(*(nn.Linear(1000, 1000, bias=False) for _ in range(4)))
    size = 4 * 4_000_000
    fill, rounding = (*filling, "truncate")[:2]
    with memory_peak() as memory:
        capacity(
            model, by_accuracy(lambda model: 0.9), 1.0, fill, strategy=strategy, rounding=rounding,
            per_layer=True,
        )  # fmt: skip
    assert size <= memory.peak < 1.2 * size


def test_refuses_integer_weights() -> None:
    model = layer()
    model.weight = nn.Parameter(torch.ones(8, 8, dtype=torch.int32), requires_grad=False)
    with pytest.raises(CellError, match=r"\A[^\n]*weight is torch\.int32\Z"):
        capacity(model, by_accuracy(lambda model: 0.9), 1.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_refuses_other_types(dtype: torch.dtype) -> None:
    with pytest.raises(CellError, match=f"weight is {dtype}"):
        capacity(layer().to(dtype), by_accuracy(lambda model: 0.9), 1.0)


@pytest.mark.parametrize("scope", ["weights", "all"])
def test_refuses_a_model_without_weights(scope: Any) -> None:
    model = nn.Flatten() if scope == "all" else nn.Sequential(nn.LayerNorm(3))
    with pytest.raises(CellError, match="no layer that it can compress"):
        capacity(model, by_accuracy(lambda model: 0.9), 1.0, scope=scope)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_refuses_weights_not_finite(value: float) -> None:
    model = layer()
    with torch.no_grad():
        model.weight[3, 1] = value
    with pytest.raises(CellError, match=r"weight holds NaN or infinity"):
        capacity(model, by_accuracy(lambda model: 0.9), 1.0)


@pytest.mark.parametrize("strategy", ["bisect", "sweep"])
@pytest.mark.parametrize("at", [1, 2])
def test_refuses_a_score_not_finite(strategy: Any, at: int) -> None:
    model = layer()
    before, calls = state(model), 0

    @by_accuracy
    def score(model: nn.Module) -> float:
        nonlocal calls
        calls += 1
        return float("nan") if calls == at else 0.9

    with pytest.raises(CellError, match="validation score is nan"):
        capacity(model, score, 1.0, strategy=strategy)
    assert state(model) == before


@pytest.mark.parametrize(
    "arguments",
    [
        {"fill": "ones"},
        {"rounding": "up"},
        {"fill": "random", "rounding": "nearest"},
        {"scope": "biases"},
        {"strategy": "guess"},
    ],
)
def test_refuses_other_arguments(arguments: dict[str, Any]) -> None:
    model = copy.deepcopy(layer())
    with pytest.raises(ValueError, match=r"must be|nothing to round|is not one of"):
        capacity(model, by_accuracy(lambda model: 0.9), 1.0, **arguments)
