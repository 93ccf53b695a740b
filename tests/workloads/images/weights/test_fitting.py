"""State dicts as people have them, and the networks that they are loaded into."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from support.published import undrawn, write_as_published
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from energybench.errors import UsageError
from energybench.registry import MODELS
from energybench.workloads.images.networks import ModelSpec
from energybench.workloads.images.weights.fitting import load_weights
from energybench.workloads.images.weights.lookup import PretrainedModel

CPU = torch.device("cpu")
SPEC = undrawn("resnet18")


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return MODELS.get("resnet18").build(10)  # type: ignore[no-any-return]


def renamed(model: nn.Module, new: Callable[[str], str]) -> dict[str, Tensor]:
    return {new(name): value for name, value in model.state_dict().items()}


def is_loaded(state: Mapping[str, Tensor], trained: nn.Module, classes: int = 10) -> bool:
    """Load `state` into a network; return whether its head is new and all else is as trained."""
    model = SPEC.build(classes)
    replaced = load_weights(model, SPEC, state, "w.pth")
    for name, value in trained.state_dict().items():
        if not (replaced and name.startswith("fc.")) and value.is_floating_point():
            assert torch.equal(model.state_dict()[name], value), name
    return replaced


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "model.", "net.backbone."],
)
def test_names_behind_wrappers(trained: nn.Module, prefix: str) -> None:
    assert is_loaded(renamed(trained, lambda name: prefix + name), trained) is False


def test_a_layer_that_was_compiled_alone(trained: nn.Module) -> None:
    state = renamed(trained, lambda name: name.replace("layer1.", "layer1._orig_mod."))
    assert is_loaded(state, trained) is False


def test_an_averaged_model(trained: nn.Module, caplog: pytest.LogCaptureFixture) -> None:
    assert is_loaded(AveragedModel(trained).state_dict(), trained) is False
    assert caplog.text == ""


def test_a_lightning_module_with_a_loss_of_its_own(
    trained: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    state = renamed(trained, lambda name: f"model.{name}") | {"loss.weight": torch.ones(10)}
    for _ in range(2):
        assert is_loaded(state, trained) is False
    assert caplog.messages == ["w.pth: ignored 1 entries beside model.*, such as loss.weight"]


def test_two_networks_in_one_file_are_refused(trained: nn.Module) -> None:
    state = renamed(trained, lambda name: f"model.{name}")
    state |= renamed(trained, lambda name: f"teacher.{name}")
    with pytest.raises(UsageError, match=r"several networks, model\.\* and teacher\.\*; save one"):
        is_loaded(state, trained)


def test_a_head_of_another_size_is_replaced(trained: nn.Module) -> None:
    assert is_loaded(trained.state_dict(), trained, classes=7) is True


def test_a_backbone_without_a_head_gets_a_new_one(trained: nn.Module) -> None:
    state = renamed(trained, lambda name: f"module.{name}")
    del state["module.fc.weight"], state["module.fc.bias"]
    assert is_loaded(state, trained) is True


def test_a_head_of_another_structure_is_replaced(trained: nn.Module) -> None:
    state = renamed(trained, lambda name: name.replace("fc.", "fc.1."))
    assert is_loaded(state, trained) is True


def test_a_convnext_without_a_classifier_starts_with_a_new_norm_and_head(tmp_path: Path) -> None:
    file = Path(__file__).parent / "published" / "convnext_base-6075fbad.txt"
    state = write_as_published(file, tmp_path / "w.pth", 0.5)
    for name in [name for name in state if name.startswith("classifier.")]:
        del state[name]
    spec = undrawn("convnext_base")
    model = spec.build(10)
    nn.init.ones_(model.get_parameter("classifier.0.weight"))
    nn.init.zeros_(model.get_parameter("classifier.0.bias"))
    assert load_weights(model, spec, state, "w.pth") is True
    assert model.get_parameter("features.0.0.bias").unique().tolist() == [0.5]


def test_hidden_layers_are_no_head() -> None:
    spec = undrawn("alexnet")
    state = spec.build(10).state_dict()
    for name in [name for name in state if name.startswith("classifier.")]:
        del state[name]
    with pytest.raises(UsageError, match=r"is not a alexnet: it lacks classifier\.1\.weight"):
        load_weights(spec.build(10), spec, state, "w.pth")


def test_another_network_is_refused(trained: nn.Module) -> None:
    spec = undrawn("resnet34")
    with pytest.raises(UsageError, match="is not a resnet34: it lacks"):
        load_weights(spec.build(10), spec, trained.state_dict(), "w.pt")
    with pytest.raises(UsageError, match=r"is not a resnet18: it has the unknown layer1\.2\.conv1"):
        load_weights(SPEC.build(10), SPEC, spec.build(10).state_dict(), "w.pt")
    state = undrawn("resnet50").build(10).state_dict()
    with pytest.raises(UsageError, match=r"is not this resnet18: .* is \(64, 64, 1, 1\), expected"):
        load_weights(SPEC.build(10), SPEC, state, "w.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused_by_name(trained: nn.Module, value: float) -> None:
    state = trained.state_dict()
    state["layer2.0.bn1.running_var"] = torch.full((128,), value, dtype=torch.float64)
    with pytest.raises(
        UsageError, match=r"w\.pth has NaN or infinite values in layer2\.0\.bn1\.ru"
    ):
        is_loaded(state, trained)


def test_whole_numbers_are_no_weights(trained: nn.Module) -> None:
    state = trained.state_dict()
    state["conv1.weight"] = state["conv1.weight"].to(torch.int8)
    with pytest.raises(UsageError, match=r"conv1\.weight is int8, expected float32"):
        is_loaded(state, trained)


def test_versions_in_the_file_reach_the_network(tmp_path: Path) -> None:
    spec = ModelSpec("mnasnet0_5", 0, "classifier.1")
    torch.manual_seed(0)
    original = spec.build(10)
    torch.save(nn.ModuleDict({"module": original}).state_dict(), tmp_path / "w.pth")
    given = PretrainedModel(spec, 10, True, "w.pth", tmp_path / "w.pth")
    model, facts = given.load(CPU)
    assert facts["head_replaced"] is False
    assert torch.equal(next(model.parameters()), next(original.parameters()))


def test_a_new_head_is_told_of_once_and_follows_the_seed(
    trained: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(trained.state_dict(), path)
    given = PretrainedModel(MODELS.get("resnet18"), 7, True, str(path), path)
    with caplog.at_level(logging.WARNING):
        heads = [given.load(CPU, seed)[0].get_parameter("fc.weight") for seed in (0, 0, 1)]
    assert caplog.messages == [
        f"resnet18: {path} has no head of 7 classes; a new one is trained first"
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
