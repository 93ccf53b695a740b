"""Adapters beside weights in four bits: what is frozen, what is trained, what the end leaves."""

import copy
from collections.abc import Callable

import pytest
import torch
from support.scores import by_accuracy
from support.tasks import TASKS
from torch import Tensor, nn

from energybench.compression.compose import compress
from energybench.compression.qlora import Frozen4Bit, QLora
from energybench.errors import CellError

SCORE = by_accuracy(lambda model: 1.0)
Train = Callable[[nn.Module, Callable[[nn.Module], None]], None]


def outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = model.eval()(inputs)
    return result


def frozen(model: nn.Module) -> list[Frozen4Bit]:
    return [layer for layer in model.modules() if isinstance(layer, Frozen4Bit)]


def test_sixteen_values_are_left_and_adapters_alone_are_trained(
    network: nn.Sequential, batch: tuple[Tensor, Tensor], train: Train
) -> None:
    inputs, _ = batch
    names, kinds = list(network.state_dict()), [type(layer) for layer in network.modules()]
    compression, report = compress(network, "qlora@2", SCORE)
    assert report.method == "qlora@2"
    assert report.settings["bits"] == 4
    layers = frozen(network)
    weights = sum(layer.in_features * layer.out_features for layer in layers)
    assert sum(layer.packed.nbytes for layer in layers) == weights / 2  # 4 bits each
    before = [layer.restored().weight.detach() for layer in layers]
    blocks = [block for weight in before for block in weight.flatten().split(64)]
    assert max(len(block.unique()) for block in blocks) <= 16
    named = network.named_parameters()
    assert all(".lora_" in name for name, parameter in named if parameter.requires_grad)
    train(network.train(), compression.after_step)
    for layer, old in zip(layers, before, strict=True):
        assert torch.equal(layer.restored().weight, old)
    learned = outputs(network, inputs)
    compression.finalize(network)
    assert list(network.state_dict()) == names
    assert [type(layer) for layer in network.modules()] == kinds
    torch.testing.assert_close(outputs(network, inputs), learned, rtol=1e-4, atol=1e-5)


def test_weights_move_by_less_than_half_a_step_of_the_grid() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 32)
    model = nn.Sequential(copy.deepcopy(layer))
    QLora(rank=1).compress(model, SCORE, 1.0)
    (kept,) = frozen(model)
    error = (kept.restored().weight - layer.weight).abs()
    # the widest gap of NF4 on [-1, 1] is 0.304 (arXiv 2305.14314, appendix E), per block of a row
    scale = layer.weight.abs().amax(dim=1, keepdim=True)
    assert (error <= 0.16 * scale).all()
    assert error.max() > 0.01 * scale.min()


def test_the_best_epoch_can_be_loaded_again(network: nn.Sequential) -> None:
    QLora(rank=1).compress(network, SCORE, 1.0)
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    assert not any("packed" in name for name in kept)
    copy.deepcopy(network).load_state_dict(kept)


def test_a_language_model_keeps_its_tied_embedding() -> None:
    model = TASKS["next-token"].model(0)
    _, report = compress(model, "qlora", SCORE)
    assert report.notes == ["embedding.weight and head.weight are one parameter, left as it is"]
    assert frozen(model)


def test_a_network_of_convolutions_is_refused() -> None:
    with pytest.raises(CellError, match="qlora: the model has no Linear whose weight is its own"):
        QLora().compress(nn.Sequential(nn.Conv2d(3, 4, 3)), SCORE, 1.0)
