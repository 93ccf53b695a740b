"""Methods that compress once, as arXiv 2506.01311 does, and settings that are given."""

from collections.abc import Callable

import pytest
import torch
from support.scores import by_accuracy
from torch import Tensor, nn

from energybench.compression.base import Score, notes_after_training
from energybench.compression.bits import clear_low_bits
from energybench.compression.compose import build
from energybench.compression.once import PruneOnce, StegoOnce
from energybench.compression.prune import Prune
from energybench.compression.stego import Stego
from energybench.compression.weights import covered_weights, zero_count
from energybench.errors import CellError

GOOD = by_accuracy(lambda model: 0.9)
PAIRS = [("stego", "stego-once"), ("stego-fp32", "stego-once"), ("prune", "prune-once")]


def covered(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in covered_weights(model).items()}


def weights_of(model: nn.Module) -> list[bytes]:
    return [weight.numpy().tobytes() for weight in covered(model).values()]


@pytest.mark.parametrize(("held", "once"), PAIRS)
def test_the_search_and_the_compressed_network_are_those_of_the_method_that_holds(
    held: str, once: str, network: nn.Module, accuracy: Score
) -> None:
    before = covered(network)
    first = build(held).compress(network, accuracy, 1.0)
    compressed = weights_of(network)
    with torch.no_grad():
        for name, weight in covered_weights(network).items():
            weight.copy_(before[name])
    second = build(once).compress(network, accuracy, 1.0)
    assert weights_of(network) == compressed
    assert first.curve == second.curve
    assert second.settings | first.settings == second.settings
    assert first.compression_rate == second.compression_rate > 0


@pytest.mark.parametrize("method", ["stego-once", "prune-once"])
def test_training_is_free_and_its_result_is_kept(
    method: str, network: nn.Sequential, accuracy: Score, train: Callable[..., None]
) -> None:
    """The old `stego-fp32`, said to be the paper's, gives every step's bits back to the grid."""
    compression = build(method)
    compression.compress(network, accuracy, 5.0)
    free = nn.Sequential(*network)  # the same layers
    train(network, compression.after_step)
    trained = weights_of(free)
    compression.finalize(network)
    assert weights_of(network) == trained
    if method == "stego-once":
        low = [weight.view(torch.int32) & 0xFF for weight in covered(network).values()]
        assert any(bits.any() for bits in low)
    else:
        zeros = zero_count(covered(network))
        assert zeros < compression._zeroed  # type: ignore[attr-defined]


def test_the_record_is_told_what_training_left() -> None:
    model = nn.Linear(40, 10, bias=False)
    stego = StegoOnce(bits=12)
    stego.compress(model, GOOD, 1.0)
    assert notes_after_training(stego, model) == [
        "stego-once: 100.0 % of the covered weights still have 12 clear bits after training"
    ]
    with torch.no_grad():
        model.weight[:5].view(torch.int32).bitwise_or_(1)
    assert notes_after_training(stego, model)[0].startswith("stego-once: 50.0 % of the covered")
    pruned = build("prune-once@0.25+lowrank")
    both = nn.Sequential(nn.Linear(40, 10, bias=False))
    pruned.compress(
        both, by_accuracy(lambda now: float(isinstance(now.get_submodule("0"), nn.Linear))), 1.0
    )
    with torch.no_grad():
        weight = both.get_parameter("0.weight")
        weight[weight == 0] = 1.0
    (note,) = notes_after_training(pruned, both)
    assert note == "prune-once@0.25: 0.0 % of the zeroed weights are still zero after training"
    assert notes_after_training(Prune(), model) == []


def test_random_bits_are_those_of_capacity() -> None:
    model, twin = nn.Linear(30, 10, bias=False), nn.Linear(30, 10, bias=False)
    twin.load_state_dict(model.state_dict())
    method = build("stego-once-random@15")
    report = method.compress(model, GOOD, 1.0)
    expected = twin.weight.detach()
    clear_low_bits(expected, 15, "random", torch.Generator().manual_seed(0))
    assert torch.equal(model.weight, expected)
    assert report.settings == {"bits": 15, "fill": "random"}
    assert notes_after_training(method, model) == []
    with pytest.raises(ValueError, match="fill must be"):
        StegoOnce(fill="ones")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("stego@12", {"bits": 12}),
        ("stego-fp32@23", {"bits": 23}),
        ("stego-once@22", {"bits": 22, "fill": "zeros"}),
        ("prune@0.5", {"fraction": 0.5}),
        ("prune-once@0.125", {"fraction": 0.125}),
        ("prune-layerwise@0.9", {"fraction": 0.9}),
    ],
)
def test_a_given_setting_is_applied_whatever_its_drop(
    name: str, settings: dict[str, float | str], network: nn.Module
) -> None:
    scores = iter([0.9, 0.1])
    method = build(name)
    report = method.compress(network, by_accuracy(lambda model: next(scores)), 1.0)
    assert method.name == report.method == name
    assert report.settings == settings
    assert (report.reference_score, report.score) == (0.9, 0.1)
    assert report.curve == [(next(iter(settings.values())), 0.1)]
    assert not report.no_effect
    fraction = settings.get("fraction")
    if fraction is None:
        low = [weight.view(torch.int32) for weight in covered(network).values()]
        assert not any((one & ((1 << int(settings["bits"])) - 1)).any() for one in low)
    else:
        total = sum(weight.numel() for weight in covered(network).values())
        assert zero_count(covered(network)) == pytest.approx(float(fraction) * total, abs=5)


@pytest.mark.parametrize("method", [Stego(bits=12), Prune(0.5), StegoOnce(bits=3), PruneOnce(0.1)])
def test_a_score_that_is_not_finite_leaves_the_model_as_it_was(
    method: Stego | Prune, network: nn.Module
) -> None:
    before, scores = weights_of(network), iter([0.9, float("nan")])
    with pytest.raises(CellError, match="validation score is nan"):
        method.compress(network, by_accuracy(lambda model: next(scores)), 1.0)
    assert weights_of(network) == before


def test_a_given_setting_composes() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 4))
    method = build("stego@10+prune@0.5")
    report = method.compress(model, GOOD, 1.0)
    assert method.name == report.method == "prune@0.5+stego@10"
    assert report.settings == {"prune@0.5.fraction": 0.5, "stego@10.bits": 10}
