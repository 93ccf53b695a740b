"""Freezing: which parameters are trained, and batch norms that stay as pretrained."""

from collections.abc import Callable

import pytest
import torch
from support.scores import by_accuracy
from support.tasks import TASKS
from torch import Tensor, nn

from energybench.compression.batch_norm import is_frozen, recompute_batchnorm
from energybench.compression.compose import compress
from energybench.errors import CellError

SCORE = by_accuracy(lambda model: 1.0)
Train = Callable[[nn.Module, Callable[[nn.Module], None]], None]


def trainable(model: nn.Module) -> set[str]:
    return {name for name, one in model.named_parameters() if one.requires_grad}


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("method", "last"),
    [("freeze", {"9"}), ("freeze@2", {"7", "9"}), ("freeze@4", {"3", "5", "7", "9"})],
)
def test_only_the_last_layers_change(
    method: str, last: set[str], network: nn.Sequential, train: Train
) -> None:
    compression, _ = compress(network, method, SCORE)
    before = state(network)
    train(network, compression.after_step)
    compression.finalize(network)
    changed = {
        name for name, value in network.state_dict().items() if (value != before[name]).any()
    }
    assert {name.partition(".")[0] for name in changed} == last
    assert {name.partition(".")[0] for name in trainable(network)} == last


def test_freezing_needs_a_layer_to_freeze(network: nn.Sequential) -> None:
    with pytest.raises(CellError, match="has 5 layers, so training 5 freezes none; name fewer"):
        compress(network, "freeze@5", SCORE)
    assert len(trainable(network)) == len(list(network.parameters()))


def test_a_head_that_is_tied_to_an_embedding_is_not_the_last_layer() -> None:
    model = TASKS["next-token"].model(0)
    _, report = compress(model, "freeze", SCORE)
    assert trainable(model) == {"blocks.0.narrow.weight", "blocks.0.narrow.bias"} | {
        "norm.weight",
        "norm.bias",
    }
    assert any("left as it is" in note for note in report.notes)


def test_frozen_batch_norms_keep_statistics_scale_and_shift(
    network: nn.Sequential, batch: tuple[Tensor, Tensor], train: Train
) -> None:
    compression, report = compress(network, "freeze-bn", SCORE)
    assert report.settings == {"layers": 1}
    before = state(network)
    train(network.train(), compression.after_step)
    recompute_batchnorm(network, lambda: network(batch[0]))
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("1."))
    assert not torch.equal(after["0.weight"], before["0.weight"])
    norm = network.get_submodule("1")
    assert is_frozen(norm)
    assert not norm.train().training
    assert isinstance(norm, nn.BatchNorm2d)


def test_a_model_without_batch_norms_is_refused_in_a_line() -> None:
    with pytest.raises(CellError, match="freeze-bn: the model has no batch norm; leave the method"):
        compress(TASKS["regression"].model(0), "freeze-bn", SCORE)
