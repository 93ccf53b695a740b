"""Adapters: what is trained, what a merge leaves, and lora beside stego."""

import copy
from collections.abc import Callable

import pytest
import torch
from support.scores import by_accuracy
from support.tasks import TASKS
from torch import Tensor, nn

from energybench.compression.base import precisions_of
from energybench.compression.compose import build, compress
from energybench.compression.lora import Lora
from energybench.compression.qlora import QLora
from energybench.compression.weights import covered_weights
from energybench.errors import CellError, UsageError

SCORE = by_accuracy(lambda model: 1.0)
Train = Callable[[nn.Module, Callable[[nn.Module], None]], None]


def outputs(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    with torch.no_grad():
        result: Tensor = model.eval()(batch[0])
    return result


def trainable(model: nn.Module) -> set[str]:
    return {name for name, one in model.named_parameters() if one.requires_grad}


def test_adapters_alone_are_trained_and_end_within_the_network(
    network: nn.Sequential, batch: tuple[Tensor, Tensor], train: Train
) -> None:
    before = copy.deepcopy(network)
    names, kinds = list(network.state_dict()), [type(layer) for layer in network.modules()]
    compression, report = compress(network, "lora@2", SCORE)
    assert report.settings == {"rank": 2, "layers": 4}  # not the convolution with groups
    assert (report.compression_rate, report.score, report.no_effect) == (0.0, None, False)
    assert all(".lora_" in name for name in trainable(network))
    torch.testing.assert_close(outputs(network, batch), outputs(before, batch))
    train(network.train(), compression.after_step)
    learned = outputs(network, batch)
    assert not torch.allclose(learned, outputs(before, batch))
    compression.finalize(network)
    assert list(network.state_dict()) == names
    assert [type(layer) for layer in network.modules()] == kinds
    torch.testing.assert_close(outputs(network, batch), learned, rtol=1e-4, atol=1e-5)
    untouched, other = network.get_submodule("3"), before.get_submodule("3")
    assert torch.equal(untouched.get_parameter("weight"), other.get_parameter("weight"))


def test_rank_and_targets_decide_the_number_of_parameters(network: nn.Sequential) -> None:
    Lora(rank=3, targets=("7",)).compress(network, SCORE, 1.0)
    layer = covered_weights(network)["7.weight"]
    counts = [one.numel() for one in network.parameters() if one.requires_grad]
    assert sum(counts) == 3 * sum(layer.shape)
    with pytest.raises(CellError, match="no Linear or convolution called attention"):
        Lora(targets=("attention",)).compress(network, SCORE, 1.0)


def test_a_tied_embedding_gets_no_adapter() -> None:
    model = TASKS["next-token"].model(0)
    _, report = compress(model, "lora", SCORE)
    assert report.notes == ["embedding.weight and head.weight are one parameter, left as it is"]
    assert not any(name.startswith(("embedding", "head")) for name in trainable(model))


def test_frozen_weights_below_adapters_are_cleared_and_stay_so(
    network: nn.Sequential, train: Train
) -> None:
    compression, report = compress(network, "lora@2+stego@16", SCORE)
    assert report.method == "stego@16+lora@2"
    assert "bf16" in precisions_of(compression)
    cleared = {name: weight.detach().clone() for name, weight in covered_weights(network).items()}
    assert set(cleared) == {"0.weight", "3.weight", "5.weight", "7.weight", "9.weight"}
    assert not any((value.view(torch.int32) & 0xFFFF).any() for value in cleared.values())
    train(network.train(), compression.after_step)
    assert all(
        torch.equal(value, cleared[name]) for name, value in covered_weights(network).items()
    )
    assert build("stego").training_state() == {}  # type: ignore[attr-defined]
    compression.finalize(network)
    merged = covered_weights(network)
    assert any((value.detach().view(torch.int32) & 0xFFFF).any() for value in merged.values())


@pytest.mark.parametrize(
    ("method", "library", "extra"),
    [(Lora, "peft", "language"), (QLora, "bitsandbytes", "qlora"), (QLora, "peft", "language")],
)
def test_without_its_library_it_says_what_to_install(
    network: nn.Sequential,
    monkeypatch: pytest.MonkeyPatch,
    method: type[Lora],
    library: str,
    extra: str,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    before = list(network.state_dict())
    says = rf"lora needs {library} .*pip install 'energybench\[{extra}\]'"
    with pytest.raises(UsageError, match=says):
        method().compress(network, SCORE, 1.0)
    assert list(network.state_dict()) == before
    assert len(trainable(network)) == len(list(network.parameters()))
