"""Whole channels go; what is left computes what the zeroed network computes."""

import copy
import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.scores import by_accuracy
from support.tasks import TASKS
from torch import Tensor, nn

from energybench.compression.base import Score
from energybench.compression.channels import PruneChannels
from energybench.compression.compose import build
from energybench.compression.dependencies import channel_sets
from energybench.errors import CellError, UsageError
from energybench.workloads.images.vision import torchvision

pytest.importorskip("torch_pruning")


class Branches(nn.Module):
    """Sums, concatenations, a depthwise convolution and a flattened map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.left = nn.Conv2d(6, 4, 1)
        self.right = nn.Conv2d(6, 5, 3, padding=1, bias=False)
        self.merge = nn.Conv2d(9, 6, 1)
        self.hidden = nn.Linear(6 * 16, 10)
        self.head = nn.Linear(10, 4)

    def forward(self, images: Tensor) -> Tensor:
        stem = torch.relu(self.norm(self.stem(images)))
        both = torch.cat([self.left(stem), self.right(torch.relu(self.depthwise(stem)))], dim=1)
        total = torch.relu(self.merge(both)) + stem
        result: Tensor = self.head(torch.relu(self.hidden(total.flatten(1))))
        return result


def _densenet() -> nn.Module:
    model: nn.Module = torchvision.models.DenseNet(8, (2, 2), 16, num_classes=10)
    return model


def _resnet() -> nn.Module:
    block = torchvision.models.resnet.Bottleneck
    model: nn.Module = torchvision.models.ResNet(block, [1, 1, 1, 1], num_classes=10)
    return model


def _inception() -> nn.Module:
    block: nn.Module = torchvision.models.inception.InceptionA(3, pool_features=8)
    return nn.Sequential(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(232, 10))


def _convnext() -> nn.Module:
    setting = torchvision.models.convnext.CNBlockConfig
    model: nn.Module = torchvision.models.convnext.ConvNeXt(
        [setting(8, 16, 2), setting(16, None, 1)], num_classes=10
    )
    return model


BUILDERS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "branches": (Branches, 4),
    "resnet": (_resnet, 32),
    "densenet": (_densenet, 32),
    "inception": (_inception, 9),
    "convnext": (_convnext, 32),
}


def built(name: str) -> tuple[nn.Module, Tensor]:
    """A network whose normalizations are not the identity, and images for it."""
    torch.manual_seed(0)
    build_model, size = BUILDERS[name]
    model = build_model().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    assert tensor is not None
                    tensor.add_(0.5 * torch.rand_like(tensor))
    return model, torch.randn(2, 3, size, size)


def runs(images: Tensor, accepts: Callable[[nn.Module], bool]) -> Score:
    """A score that runs the model, as it needs to, and is 1 or 0."""

    @by_accuracy
    def score(model: nn.Module) -> float:
        with torch.inference_mode():
            model(images)
        return float(accepts(model))

    return score


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def at(fraction: float, model: nn.Module, images: Tensor) -> float:
    """Prune `model` at about `fraction` of its parameters; returns the rate reported."""
    before = parameters(model)
    within = runs(images, lambda now: parameters(now) >= (1 - fraction) * before)
    return PruneChannels().compress(model, within, 1.0).compression_rate


@pytest.mark.parametrize("name", BUILDERS)
def test_the_smaller_network_runs_trains_and_keeps_its_outputs(name: str) -> None:
    model, images = built(name)
    shape, before = model(images).shape, parameters(model)
    rate = at(0.5, model, images)
    assert rate > 0.2
    assert rate == pytest.approx(1 - parameters(model) / before)
    assert model(images).shape == shape
    model.train()(torch.cat([images] * 2)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == (
                module.out_channels,
                module.in_channels // module.groups,
            )
        elif isinstance(module, nn.Linear):
            assert module.weight.shape == (module.out_features, module.in_features)


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "convnext"])
def test_it_computes_what_the_network_computes_with_those_channels_unread(name: str) -> None:
    """Removing a channel is the same as zeroing the weights that read it (without LayerNorm)."""
    model, images = built(name)
    unread = copy.deepcopy(model)
    at(0.4, model, images)
    readers = 0
    for layer, slim in zip(unread.modules(), model.modules(), strict=True):
        if not isinstance(slim, nn.Linear | nn.Conv2d):
            continue
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        if slim.weight.shape[1] < layer.weight.shape[1]:
            readers += 1
            _zero_unmatched(layer.weight.detach(), slim.weight.detach())
    assert readers
    assert torch.allclose(unread(images), model(images), atol=1e-4)


def _zero_unmatched(wide: Tensor, slim: Tensor) -> None:
    """Zero the inputs of `wide` that `slim` has lost; both keep the order of what is left."""
    kept_rows, row = [], 0
    columns = [wide[:, c].flatten() for c in range(wide.shape[1])]
    for r in range(wide.shape[0]):
        values = set(wide[r].flatten().tolist())
        if row < slim.shape[0] and set(slim[row].flatten().tolist()) <= values:
            kept_rows.append(r)
            row += 1
    assert row == slim.shape[0]
    at_slim = 0
    for c, column in enumerate(columns):
        narrow = column.reshape(wide.shape[0], -1)[kept_rows]
        if at_slim < slim.shape[1] and torch.equal(narrow.flatten(), slim[:, at_slim].flatten()):
            at_slim += 1
        else:
            wide[:, c] = 0.0
    assert at_slim == slim.shape[1]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_search_that_finds_nothing_leaves_no_trace(name: str) -> None:
    model, images = built(name)
    model.train()
    next(iter(model.children())).eval()  # a part may be frozen
    for parameter in list(model.parameters())[::2]:
        parameter.requires_grad_(False)
    whole = parameters(model)

    def everything(module: nn.Module) -> dict[str, object]:
        return {
            f"{name}.{key}": value
            for name, part in module.named_modules()
            for key, value in {**vars(part), **part._parameters, **part._buffers}.items()
            if isinstance(value, Tensor | int | bool | tuple)
        }

    before, flags = everything(model), [p.requires_grad for p in model.parameters()]
    values = [value.clone() for value in model.state_dict().values()]

    @by_accuracy
    def score(now: nn.Module) -> float:
        with torch.inference_mode():
            copy.deepcopy(now).eval()(images)
        return float(parameters(now) == whole)

    report = PruneChannels().compress(model, score, 1.0)
    assert report.no_effect
    assert len(report.curve) > 3
    after = everything(model)
    assert after.keys() == before.keys()
    for key, value in before.items():
        assert after[key] is value or after[key] == value
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(map(torch.equal, model.state_dict().values(), values))
    assert not model._forward_pre_hooks


def test_a_score_that_fails_midway_leaves_the_model_as_it_was() -> None:
    model, images = built("branches")
    tensors = list(model.state_dict(keep_vars=True).values())
    calls = 0

    @by_accuracy
    def score(now: nn.Module) -> float:
        nonlocal calls
        calls += 1
        now(images)
        if calls == 3:
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        PruneChannels().compress(model, score, 1.0)
    assert all(
        now is then
        for now, then in zip(model.state_dict(keep_vars=True).values(), tensors, strict=True)
    )


def test_the_cheapest_channels_go() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(
            torch.tensor([[3.0], [0.1], [2.0], [0.2]]).expand(4, 3)
        )
        model.get_parameter("1.weight").fill_(1e-3)
    images = torch.randn(2, 3)
    report = PruneChannels().compress(model, runs(images, lambda now: parameters(now) >= 14), 1.0)
    assert report.settings["channels"] == 2
    assert model.get_parameter("0.weight")[:, 0].tolist() == [3.0, 2.0]


def test_classes_images_and_one_channel_of_every_set_stay() -> None:
    model, images = built("branches")
    PruneChannels().compress(model, runs(images, lambda now: True), 1.0)
    assert model.get_parameter("head.weight").shape == (4, 1)
    assert model.get_parameter("stem.weight").shape == (1, 3, 3, 3)


def test_grouped_and_shared_layers_are_left_alone() -> None:
    shared = nn.Linear(8, 8)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, groups=4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model.extend([nn.Linear(8, 8), shared, nn.Linear(8, 8), nn.Linear(8, 2)])
    model[6].weight = shared.weight
    assert channel_sets(model, torch.zeros(1, 3, 4, 4)) == []
    score = runs(torch.randn(2, 3, 4, 4), lambda now: True)
    report = PruneChannels().compress(model, score, 1.0)
    assert report.no_effect
    assert report.notes == [
        "no channels can be removed: they are outputs or have groups",
        "5.weight and 6.weight are one parameter, left as it is",
    ]


class Fixed(nn.Module):
    """Counts on 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.head = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.head(self.conv(images).mean((2, 3)) + torch.ones(8))
        return result


def test_code_that_fixes_its_widths_is_refused_in_one_line() -> None:
    model = Fixed().train()
    tensors = list(model.parameters())
    with pytest.raises(CellError, match=r"\A[^\n]*code fixes its widths[^\n]*\Z"):
        PruneChannels().compress(model, runs(torch.randn(2, 3, 4, 4), lambda now: True), 1.0)
    assert all(now is then for now, then in zip(model.parameters(), tensors, strict=True))
    assert model.training


def test_an_attention_keeps_its_widths_and_the_rest_loses_channels() -> None:
    model = TASKS["next-token"].model(0)
    tokens = torch.zeros(4, 16, dtype=torch.int64)
    report = PruneChannels().compress(model, runs(tokens, lambda now: True), 1.0)
    assert "1 of 2 sets of channels stay: the model's code fixes their widths" in report.notes
    assert model.get_parameter("blocks.0.attention_in.weight").shape == (96, 32)
    assert model.get_parameter("blocks.0.widen.weight").shape[0] < 128
    model(tokens)


class Keywords(nn.Module):
    """Takes its inputs by name, and returns a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, *, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.head(self.body(batch["inputs"]))}


def test_a_model_that_takes_dicts_by_name_loses_channels() -> None:
    model = Keywords()

    @by_accuracy
    def score(now: nn.Module) -> float:
        now(batch={"inputs": torch.ones(4, 6)})
        return 1.0

    report = PruneChannels().compress(model, score, 1.0)
    assert report.settings["channels"] == 7
    assert score(model) == 1.0


class Untraceable(Keywords):
    """Returns something that has no gradient."""

    def forward(self, *, batch: dict[str, Tensor]) -> Any:
        self.head(self.body(batch["inputs"]))
        return "no tensor\nat all"


def test_a_model_that_cannot_be_traced_is_refused_and_stays_as_it_was() -> None:
    model = Untraceable().train()
    model.body.weight.requires_grad_(False)
    before = [parameter.clone() for parameter in model.parameters()]

    @by_accuracy
    def score(now: nn.Module) -> float:
        now(batch={"inputs": torch.ones(4, 6)})
        return 1.0

    with pytest.raises(CellError, match=r"\A[^\n]*cannot trace this model: [^\n]+\Z"):
        PruneChannels().compress(model, score, 1.0)
    assert all(map(torch.equal, model.parameters(), before))
    assert model.training
    assert not model.body.weight.requires_grad
    assert not any(module._forward_hooks for module in model.modules())


class FailsWhenTraced(Keywords):
    """Fails as soon as autograd is on."""

    def forward(self, *, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        found = super().forward(batch=batch)
        if torch.is_grad_enabled():
            raise ValueError
        return found


def test_a_failed_trace_leaves_no_hooks() -> None:
    model = FailsWhenTraced()

    @by_accuracy
    def score(now: nn.Module) -> float:
        with torch.inference_mode():
            now(batch={"inputs": torch.ones(4, 6)})
        return 1.0

    with pytest.raises(CellError, match=r"\A[^\n]*cannot trace this model: ValueError\Z"):
        PruneChannels().compress(model, score, 1.0)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_score_that_runs_no_data() -> None:
    with pytest.raises(CellError, match=r"\A[^\n]*ran no data[^\n]*\Z"):
        PruneChannels().compress(Branches(), by_accuracy(lambda now: 1.0), 1.0)


def test_without_torch_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    model, images = built("branches")
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"\A[^\n]*pip install torch-pruning\Z"):
        PruneChannels().compress(model, runs(images, lambda now: True), 1.0)


def test_channels_go_before_layers_are_factorized() -> None:
    compression = build("lowrank+prune-channels")
    assert compression.name == "prune-channels+lowrank"
    model, images = built("resnet")
    before = parameters(model)
    report = compression.compress(
        model, runs(images, lambda now: parameters(now) > 0.2 * before), 1.0
    )
    assert not any(part.no_effect for part in report.parts)
    assert report.compression_rate == pytest.approx(1 - parameters(model) / before)
    model(images)
