"""What every registered method, and every composition, promises."""

import copy
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from support.scores import by_accuracy
from torch import Tensor, nn

from energybench.compression.base import Score
from energybench.compression.compose import build
from energybench.compression.weights import without_adapters
from energybench.errors import CellError
from energybench.registry import METHODS

COMPOSED = [
    "lowrank+stego",
    "prune+stego",
    "prune+lowrank",
    "stego+lowrank+prune",
    "prune-channels+lowrank",
    "prune-layerwise+prune-2to4+stego",
    "prune-channels+prune-2to4+stego",
    "lora+stego",
    "freeze+prune+stego",
    "freeze-bn+lora",
]
OWN_TESTS = "qlora"
"""Quantizes whatever that costs: `test_qlora.py`."""
ALL = [*(name for name in METHODS.names() if name != OWN_TESTS), *COMPOSED]

IMAGES = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def outputs(model: nn.Module) -> Tensor:
    """What `model` makes of `IMAGES`; a score has to run the model, as a real one does."""
    with torch.no_grad():
        result: Tensor = copy.deepcopy(model).eval()(IMAGES)
    return result


def searches(method: str) -> bool:
    """Whether `method` scores anything."""
    ends = nn.Linear(144, 4), nn.Linear(4, 2)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), *ends)
    calls: list[float] = []

    @by_accuracy
    def score(model: nn.Module) -> float:
        calls.append(float(outputs(model).sum()))
        return 0.9

    build(method).compress(model, score, 1.0)
    return bool(calls)


SEARCHING = [method for method in ALL if searches(method)]
COMPRESSING = [name for name in SEARCHING if "lora" not in name and "freeze" not in name]
"""Those whose report says no effect where the search finds no setting."""


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def bits_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(
        value.numpy().tobytes() == other[name].numpy().tobytes() for name, value in one.items()
    )


def fidelity(model: nn.Module) -> Score:
    """A fake score: 1 minus the relative change of the outputs of `model` as it is now."""
    original = outputs(model)
    return by_accuracy(lambda now: float(1.0 - (outputs(now) - original).norm() / original.norm()))


def test_every_method_that_compresses_searches() -> None:
    assert {"stego", "prune", "lowrank"} <= set(SEARCHING)
    others = {"lora", "freeze", "freeze-bn", "freeze-bn+lora"}
    assert not {name for name in SEARCHING if name.startswith("baseline") or name in others}


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("tolerance", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("real", [True, False], ids=["accuracy", "fidelity"])
def test_the_strongest_setting_found_is_applied_and_within_tolerance(
    method: str, tolerance: float, real: bool, network: nn.Module, accuracy: Score
) -> None:
    score = accuracy if real else fidelity(network)
    reference = score(network)
    report = build(method).compress(network, score, tolerance)
    assert 100.0 * (reference - score(network)) <= tolerance + 1e-9
    if report.reference_score is not None:
        assert report.reference_score == reference
        assert report.score == score(network)
    assert 0.0 <= report.compression_rate < 1.0
    assert report.no_effect <= (report.compression_rate == 0.0)
    assert network.training


@pytest.mark.parametrize("method", SEARCHING)
def test_a_generous_tolerance_compresses(method: str, network: nn.Module, accuracy: Score) -> None:
    report = build(method).compress(network, accuracy, 25.0)
    assert not report.no_effect
    assert report.compression_rate > 0.1


@pytest.mark.parametrize("method", ALL)
def test_the_constraint_holds_after_every_step_and_at_the_end(
    method: str, network: nn.Module, accuracy: Score, train: Callable[..., None]
) -> None:
    compression = build(method)
    compression.compress(network, accuracy, 5.0)
    before = state(network)

    def hold(model: nn.Module) -> None:
        compression.after_step(model)
        held, finalized = state(model), copy.deepcopy(model)
        copy.deepcopy(compression).finalize(finalized)
        assert bits_equal(held, state(finalized)), "finalize changes a model that is held"

    train(network, compression.after_step if "lora" in method else hold)
    compression.finalize(network)
    final = state(network)
    assert list(final) == list(without_adapters(before))  # those of lora are merged
    assert not bits_equal(final, before), "training changed nothing"
    compression.finalize(network)
    assert bits_equal(state(network), final)


@pytest.mark.parametrize("method", COMPRESSING)
def test_no_effect_leaves_the_model_as_it_was(
    method: str, network: nn.Module, train: Callable[..., None]
) -> None:
    before, modules = state(network), list(network.modules())

    @by_accuracy
    def only_the_original(model: nn.Module) -> float:
        outputs(model)
        return float(bits_equal(state(model), before))

    compression = build(method)
    report = compression.compress(network, only_the_original, 1.0)
    assert report.no_effect
    assert report.compression_rate == 0.0
    assert report.score == report.reference_score == 1.0
    assert list(network.modules()) == modules
    assert bits_equal(state(network), before)

    free = copy.deepcopy(network)
    train(free, lambda model: None)
    train(network, compression.after_step)
    compression.finalize(network)
    assert bits_equal(state(network), state(free))


@pytest.mark.parametrize("method", ALL)
def test_deterministic_and_leaves_the_random_state(
    method: str, network: nn.Module, accuracy: Score
) -> None:
    twin = copy.deepcopy(network)
    random = torch.get_rng_state()
    report = build(method).compress(network, accuracy, 5.0)
    assert torch.equal(torch.get_rng_state(), random)
    assert build(method).compress(twin, accuracy, 5.0) == report
    assert bits_equal(state(network), state(twin))


@pytest.mark.parametrize("method", ALL)
def test_report_is_json(method: str, network: nn.Module, accuracy: Score) -> None:
    report = build(method).compress(network, accuracy, 5.0)
    data = json.loads(json.dumps(asdict(report), allow_nan=False))
    assert data["method"] == method or "+" in method
    assert data["settings"] == report.settings
    assert [tuple(point) for point in data["curve"]] == report.curve


@pytest.mark.parametrize("method", SEARCHING)
def test_a_search_takes_at_most_nine_evaluations_per_part(
    method: str, network: nn.Module, accuracy: Score
) -> None:
    calls = 0

    @by_accuracy
    def counted(model: nn.Module) -> float:
        nonlocal calls
        calls += 1
        return accuracy(model)

    report = build(method).compress(network, counted, 1.0)
    parts = report.parts or [report]
    searched = [part for part in parts if part.reference_score is not None]
    assert calls == sum(1 + len(part.curve) for part in searched)
    assert calls <= 9 * len(parts)


@pytest.mark.parametrize("method", [*(m for m in SEARCHING if "+" not in m), "prune+stego"])
def test_memory_of_a_search(method: str, memory_peak: Callable[[], Any]) -> None:
    """One copy of the weights beside the model, and masks or singular vectors, a quarter of it."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(size, 1600, bias=False) for size in (4000, 1600, 1600)))
    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    images, calls = (torch.zeros(1, 4000), 0)

    @by_accuracy
    def score(now: nn.Module) -> float:
        nonlocal calls
        calls += 1
        with torch.no_grad():
            now(images)
        return float(calls % 3 != 0)

    with memory_peak() as memory:
        report = build(method).compress(model, score, 1.0)
    assert not report.no_effect
    assert memory.peak < 1.3 * weights


@pytest.mark.parametrize("method", SEARCHING)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [1, 2])
def test_score_not_finite(method: str, value: float, at: int, network: nn.Module) -> None:
    before, calls = state(network), 0

    @by_accuracy
    def score(model: nn.Module) -> float:
        nonlocal calls
        calls += 1
        outputs(model)
        return value if calls == at else 0.9

    with pytest.raises(CellError, match=r"\A[^\n]*validation score is (nan|inf)[^\n]*\Z"):
        build(method).compress(network, score, 1.0)
    assert bits_equal(state(network), before)


@pytest.mark.parametrize("method", SEARCHING)
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_not_finite(method: str, value: float, network: nn.Sequential) -> None:
    with torch.no_grad():
        network.get_parameter("7.weight")[3, 1] = value
    with pytest.raises(CellError, match=r"\A[^\n]*7\.weight holds NaN or infinity[^\n]*\Z"):
        build(method).compress(network, by_accuracy(lambda model: 0.9), 1.0)


@pytest.mark.parametrize("method", SEARCHING)
def test_nothing_to_compress(method: str) -> None:
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten())
    with pytest.raises(CellError, match=r"\A[^\n]*no layer that it can compress\Z"):
        build(method).compress(model, by_accuracy(lambda model: 0.9), 1.0)


@pytest.mark.parametrize("method", SEARCHING)
def test_weights_that_are_no_floats(method: str) -> None:
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 4))
    integers = torch.ones(8, 8, dtype=torch.int8)
    model[0].weight = nn.Parameter(integers, requires_grad=False)
    with pytest.raises(CellError, match=r"\A[^\n]*0\.weight is torch\.int8[^\n]*\Z"):
        build(method).compress(model, by_accuracy(lambda model: 0.9), 1.0)
    assert torch.equal(model[0].weight, integers)


@pytest.mark.parametrize("method", SEARCHING)
def test_weights_whose_elements_share_memory(method: str) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    model[0].weight = nn.Parameter(torch.randn(1, 8).expand(8, 8))
    with pytest.raises(CellError, match=r"\A[^\n]*0\.weight share memory; clone it first\Z"):
        build(method).compress(model, by_accuracy(lambda model: 0.9), 1.0)


@pytest.mark.parametrize("method", SEARCHING)
def test_a_shared_weight_stays_one(method: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4))
    model[2].weight = model[1].weight
    images = torch.randn(4, 8)

    @by_accuracy
    def runs(now: nn.Module) -> float:
        now(images)
        return 0.9

    report = build(method).compress(model, runs, 1.0)
    assert 0.0 <= report.compression_rate < 1.0
    assert model.get_parameter("1.weight") is model.get_parameter("2.weight")
    model(images).sum().backward()
