import copy
from collections.abc import Callable

import pytest
import torch
from support.scores import by_accuracy
from torch import nn

from energybench.compression.lowrank import LowRank, as_matrices, largest_rank, low_rank_layer
from energybench.compression.svd import factorize
from energybench.errors import CellError
from energybench.workloads.images.vision import torchvision

LAYERS: dict[str, Callable[[], nn.Linear | nn.Conv2d]] = {
    "linear wide": lambda: nn.Linear(49, 20),
    "linear tall": lambda: nn.Linear(20, 49, bias=False),
    "linear large": lambda: nn.Linear(200, 150),
    "3x3": lambda: nn.Conv2d(8, 16, 3, padding=1),
    "1x1": lambda: nn.Conv2d(8, 16, 1, bias=False),
    "strided": lambda: nn.Conv2d(8, 16, 3, stride=2, padding=1),
    "strided 1x1": lambda: nn.Conv2d(8, 16, 1, stride=2),
    "dilated": lambda: nn.Conv2d(8, 16, 3, dilation=2, padding=2),
    "1x7": lambda: nn.Conv2d(8, 16, (1, 7), padding=(0, 3)),
    "same": lambda: nn.Conv2d(8, 16, 3, padding="same"),
    "grouped": lambda: nn.Conv2d(8, 16, 3, padding=1, groups=2),
    "grouped 1x1": lambda: nn.Conv2d(8, 16, 1, groups=4, bias=False),
    "grouped large": lambda: nn.Conv2d(8, 320, 7, groups=2),
    "reflected": lambda: nn.Conv2d(8, 16, 3, padding=2, padding_mode="reflect"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_full_rank_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    matrices = as_matrices(layer)
    pair = low_rank_layer(layer, factorize(matrices, keep=min(matrices.shape[1:])).basis)
    if isinstance(layer, nn.Linear):
        inputs = torch.randn(5, layer.in_features)
    else:
        inputs = torch.randn(5, 8, 13, 13)
    assert torch.allclose(pair(inputs), layer(inputs), atol=1e-4)


def test_new_layers_are_as_the_old_one() -> None:
    layer = nn.Conv2d(8, 16, 3).double().eval()
    layer.weight.requires_grad_(False)
    pair = low_rank_layer(layer, factorize(as_matrices(layer), keep=4).basis)
    assert not any(module.training for module in pair.modules())
    for name in ("down", "up"):
        weight = pair.get_parameter(f"{name}.weight")
        assert (weight.dtype, weight.device) == (layer.weight.dtype, layer.weight.device)
        assert weight.is_contiguous()
        assert not weight.requires_grad
    assert pair.get_submodule("up").bias is layer.bias
    assert layer.bias is not None
    assert layer.bias.requires_grad


@by_accuracy
def perfect(model: nn.Module) -> float:
    return 1.0


def spectrum_of(model: nn.Module, name: str, power: float = 1.0) -> None:
    """Give a Linear layer the singular values k^-power, like those of trained layers."""
    weight = model.get_parameter(f"{name}.weight")
    with torch.no_grad():
        left, _, right = torch.linalg.svd(torch.randn_like(weight), full_matrices=False)
        weight.copy_(left * torch.arange(1, len(right) + 1).pow(-power) @ right)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("least", [0.9, 0.7, 0.4, 0.1])
def test_budget_is_the_share_saved(least: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 80), nn.Linear(80, 60), nn.Linear(60, 2))
    spectrum_of(model, "0")
    spectrum_of(model, "1")
    before = count(model)
    report = LowRank().compress(
        model, by_accuracy(lambda now: float(count(now) >= least * before)), 1.0
    )
    after = count(model)
    assert report.compression_rate == pytest.approx(1 - after / before)
    budget = report.settings["budget"]
    assert isinstance(budget, float)
    assert budget <= report.compression_rate < budget + 180 / before, "off by less than a rank"
    assert 1 - least - 0.03 <= report.compression_rate <= 1 - least
    assert report.settings["layers"] == len(report.error)


def test_errors_are_those_of_the_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(8, 160, 5),
        nn.Conv2d(160, 64, 3, groups=2),
        nn.Linear(200, 150),
        nn.Linear(60, 40),
    )
    for name in ("2", "3"):
        spectrum_of(model, name)
    original = copy.deepcopy(model)
    report = LowRank().compress(
        model, by_accuracy(lambda now: float(count(now) > 0.1 * count(original))), 1.0
    )
    assert set(report.error) == {"0", "1", "2", "3"}
    for name, error in report.error.items():
        old, pair = original.get_submodule(name), model.get_submodule(name)
        assert isinstance(old, nn.Linear | nn.Conv2d)
        weight = old.weight.detach()
        up, down = (pair.get_parameter(f"{part}.weight").detach() for part in ("up", "down"))
        groups = old.groups if isinstance(old, nn.Conv2d) else 1
        product = up.reshape(groups, weight.shape[0] // groups, -1) @ down.reshape(
            groups, down.shape[0] // groups, -1
        )
        direct = (product.reshape(weight.shape) - weight).norm() / weight.norm()
        assert error == pytest.approx(direct.item(), rel=1e-4)
        assert 0 < error < 1


def test_no_effect_has_no_errors() -> None:
    model = nn.Sequential(nn.Linear(30, 30))
    layer = model[0]
    report = LowRank().compress(
        model, by_accuracy(lambda now: float(now.get_submodule("0") is layer)), 1.0
    )
    assert report.no_effect
    assert report.settings == {"budget": 0.0, "layers": 0}
    assert report.error == {}


def test_layers_that_no_rank_makes_smaller_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(30, 1), nn.Conv2d(8, 8, 7, groups=8), nn.Linear(2, 2))
    report = LowRank().compress(model, perfect, 1.0)
    assert report.no_effect
    assert report.curve == []
    assert report.notes == ["no rank of any layer has fewer parameters than the layer"]


def test_factors_have_fewer_parameters_at_any_rank_allowed() -> None:
    for name, make in LAYERS.items():
        layer = make()
        most = largest_rank(layer)
        matrices = as_matrices(layer)
        for rank, smaller in ((most, True), (most + 1, False)):
            if not 0 < rank <= min(matrices.shape[1:]):
                continue
            pair = low_rank_layer(layer, factorize(matrices, keep=rank).basis)
            assert (count(pair) < count(layer)) == smaller, name


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_layers_without_elements_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(0, 4), nn.Linear(4, 0), nn.Linear(0, 0), nn.Linear(30, 30))
    assert [largest_rank(layer) for layer in model if isinstance(layer, nn.Linear)] == [0, 0, 0, 14]
    assert LowRank().compress(model, perfect, 1.0).settings["layers"] == 1


def test_depthwise_convolutions_and_subclasses_are_left_alone() -> None:
    attention = nn.MultiheadAttention(16, 2)  # reads the weight of its own kind of Linear
    model = nn.Sequential(
        nn.Conv2d(8, 8, 3, groups=8), attention, nn.Linear(30, 20), nn.Conv2d(8, 8, 3, groups=2)
    )
    report = LowRank().compress(model, perfect, 1.0)
    assert report.settings["layers"] == 2
    assert type(model[0]) is nn.Conv2d
    assert not isinstance(attention.out_proj, nn.Sequential)
    assert isinstance(model[2], nn.Sequential)
    assert model[3](torch.randn(1, 8, 5, 5)).shape == (1, 8, 3, 3)


def test_a_module_in_two_places_stays_one_module() -> None:
    shared = nn.Linear(30, 30)
    model = nn.Sequential(shared, nn.Sequential(nn.ReLU(), shared))
    LowRank().compress(model, perfect, 1.0)
    assert isinstance(model[0], nn.Sequential)
    assert model[0] is model.get_submodule("1.1")


def test_a_weight_of_two_modules_is_left_alone() -> None:
    model = nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 30), nn.Linear(30, 20))
    model[1].weight = model[0].weight
    report = LowRank().compress(model, perfect, 1.0)
    assert report.settings["layers"] == 1
    assert model[1].weight is model[0].weight


def test_a_lone_layer_has_no_place_to_be_replaced_in() -> None:
    with pytest.raises(CellError, match="no layer that it can compress"):
        LowRank().compress(nn.Linear(30, 30), perfect, 1.0)


def _convnext() -> nn.Module:
    setting = torchvision.models.convnext.CNBlockConfig
    model: nn.Module = torchvision.models.convnext.ConvNeXt(
        [setting(8, 16, 1), setting(16, None, 1)]
    )
    return model


BUILDERS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "densenet": (lambda: torchvision.models.DenseNet(8, (2, 2), 16, num_classes=10), 32),
    "inception": (
        lambda: torchvision.models.inception.InceptionA(32, pool_features=8),
        0,
    ),
    "convnext": (_convnext, 32),
    "mobilenet": (lambda: torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.25), 32),
    "classifier": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.Flatten(), nn.Dropout(), nn.Linear(14400, 32), nn.Linear(32, 10)
        ),
        32,
    ),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_torchvision_blocks_still_run_and_train(name: str) -> None:
    torch.manual_seed(0)
    build, size = BUILDERS[name]
    model = build()
    inputs = torch.randn(4, 3, size, size) if size else torch.randn(4, 32, 9, 9)
    shape = copy.deepcopy(model)(inputs).shape
    report = LowRank().compress(model, perfect, 1.0)
    assert report.compression_rate > 0.05
    assert model(inputs).shape == shape
    model(inputs).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
