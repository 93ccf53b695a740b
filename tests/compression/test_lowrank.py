import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from energybench.compression.lowrank import LowRank, low_rank_layer
from energybench.compression.svd import factorize, split
from energybench.errors import CellError
from energybench.vision import torchvision


def decaying(rows: int, columns: int, power: float = 1.0) -> Tensor:
    """A matrix whose k-th singular value is k^-power, like that of trained layers."""
    generator = torch.Generator().manual_seed(rows)
    size = min(rows, columns)
    left = torch.linalg.qr(torch.randn(rows, size, generator=generator))[0]
    right = torch.linalg.qr(torch.randn(columns, size, generator=generator))[0]
    spectrum: Tensor = torch.arange(1, size + 1).pow(-power)
    matrix: Tensor = left * spectrum @ right.T
    return matrix


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (150, 400), (400, 150), (200, 200)])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_error_is_the_optimal_one(shape: tuple[int, int], share: float, power: float) -> None:
    matrix = decaying(*shape, power)
    rank = max(1, int(share * min(shape)))
    up, down = split(matrix, factorize(matrix, keep=rank).basis)
    assert (up.shape, down.shape) == ((shape[0], rank), (rank, shape[1]))
    values = torch.linalg.svdvals(matrix.double())
    error = (matrix.double() - up.double() @ down.double()).norm()
    assert error.item() == pytest.approx(values[rank:].norm().item(), rel=1e-3)


@pytest.mark.parametrize("shape", [(40, 60), (150, 400), (400, 150)])
@pytest.mark.parametrize("energy", [0.5, 0.9, 0.99])
def test_rank_is_the_smallest_that_retains_the_energy(
    shape: tuple[int, int], energy: float
) -> None:
    matrix = decaying(*shape)
    rank = factorize(matrix, keep=1).rank_retaining(energy)
    shares = torch.linalg.svdvals(matrix.double()).square().cumsum(0)
    shares /= shares[-1].clone()
    assert shares[rank - 1] >= energy - 1e-6
    assert rank == 1 or shares[rank - 2] < energy + 1e-6


def test_factors_are_balanced() -> None:
    matrix = decaying(150, 400)
    up, down = split(matrix, factorize(matrix, keep=30).basis)
    assert torch.allclose(up.norm(dim=0), down.norm(dim=1), rtol=1e-4)


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
    "reflected": lambda: nn.Conv2d(8, 16, 3, padding=2, padding_mode="reflect"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_full_rank_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    matrix = layer.weight.detach().flatten(1)
    pair = low_rank_layer(layer, factorize(matrix, keep=min(matrix.shape)).basis)
    if isinstance(layer, nn.Linear):
        inputs = torch.randn(5, layer.in_features)
    else:
        inputs = torch.randn(5, 8, 13, 13)
    assert torch.allclose(pair(inputs), layer(inputs), atol=1e-4)


def test_new_layers_are_as_the_old_one() -> None:
    layer = nn.Conv2d(8, 16, 3).double().eval()
    layer.weight.requires_grad_(False)
    pair = low_rank_layer(layer, factorize(layer.weight.detach().flatten(1), keep=4).basis)
    assert not any(module.training for module in pair.modules())
    for name in ("down", "up"):
        weight = pair.get_parameter(f"{name}.weight")
        assert (weight.dtype, weight.device) == (layer.weight.dtype, layer.weight.device)
        assert weight.is_contiguous()
        assert not weight.requires_grad
    assert pair.get_submodule("up").bias is layer.bias
    assert layer.bias is not None
    assert layer.bias.requires_grad


def perfect(model: nn.Module) -> float:
    return 1.0


def test_rate_and_settings() -> None:
    model = nn.Sequential(nn.Linear(100, 50), nn.Linear(50, 2))
    with torch.no_grad():
        model.get_parameter("0.weight").copy_(decaying(50, 100))
    before = sum(parameter.numel() for parameter in model.parameters())
    report = LowRank().compress(model, perfect, 1.0)
    after = sum(parameter.numel() for parameter in model.parameters())
    assert report.settings == {"retained_energy": 0.5, "layers": 2}
    assert report.compression_rate == pytest.approx(1 - after / before)
    assert model.get_parameter("0.down.weight").shape == (1, 100)


def test_layers_that_would_grow_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(30, 30))
    nn.init.orthogonal_(model.get_parameter("0.weight"))
    calls = 0

    def score(model: nn.Module) -> float:
        nonlocal calls
        calls += 1
        return 1.0 if isinstance(model.get_submodule("0"), nn.Linear) else 0.0

    report = LowRank().compress(model, score, 1.0)
    assert report.no_effect
    assert report.settings == {"retained_energy": 1.0, "layers": 0}
    assert all(setting < 0.5 + 1e-9 for setting, _ in report.curve), "others save nothing"
    assert calls == 1 + len(report.curve)


def test_grouped_convolutions_and_subclasses_are_left_alone() -> None:
    attention = nn.MultiheadAttention(16, 2)  # reads the weight of its own kind of Linear
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), attention, nn.Linear(30, 20))
    report = LowRank().compress(model, perfect, 1.0)
    assert report.settings["layers"] == 1
    assert type(model[0]) is nn.Conv2d
    assert not isinstance(attention.out_proj, nn.Sequential)
    assert isinstance(model[2], nn.Sequential)


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
