"""Pretraining: it learns, repeats itself, and says so when it cannot."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from energybench.errors import CellError
from energybench.registry import MODELS
from energybench.workloads.images import networks as zoo
from energybench.workloads.images.vision import torchvision
from energybench.workloads.images.weights.recipes import RECIPES, Recipe, recipe_for
from energybench.workloads.images.weights.trainer import (
    distort,
    initialize,
    one_cycle,
    pretrain,
)

CPU = torch.device("cpu")
QUICK = Recipe(learning_rate=0.01, epochs=6, batch_size=16)
STILL = replace(QUICK, rotation_deg=0.0, translation=0.0, scaling=0.0, shear=0.0)


def quarters() -> list[tuple[Tensor, Tensor]]:
    """Six batches of 16 noisy images, (3, 16, 16), labelled by the bright quarter."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % 4
    images = 0.3 * torch.randn(96, 3, 16, 16, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = 8 * (label // 2), 8 * (label % 2)
        image[:, row : row + 8, column : column + 8] += 1.0
    return list(zip(images.split(16), labels.split(16), strict=True))


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(512, 4),
    )


def trained(recipe: Recipe = QUICK, seed: int = 0) -> nn.Sequential:
    model = small_net()
    pretrain(model, quarters(), recipe, CPU, seed, lambda *_: None)
    return model


def test_learns_and_reports_every_epoch() -> None:
    model, told = small_net(), list[tuple[int, int, float]]()
    pretrain(model, quarters(), QUICK, CPU, 0, lambda *epoch: told.append(epoch))
    assert [epoch[:2] for epoch in told] == [(number, 6) for number in range(1, 7)]
    assert told[-1][2] < told[0][2] < 2 * math.log(4)
    assert not model.training
    with torch.inference_mode():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in quarters())
    assert right >= 91  # of 96


def test_the_seed_fixes_every_weight() -> None:
    first, again, other = (trained(seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_a_loss_that_is_not_finite_raises() -> None:
    batches = [(torch.full_like(images, math.inf), labels) for images, labels in quarters()]
    with pytest.raises(CellError, match="pretraining loss of epoch 1 is nan"):
        pretrain(small_net(), batches, STILL, CPU, 0, lambda *_: None)


def test_batchnorm_ends_with_the_mean_statistics_of_the_split() -> None:
    model = trained()
    convolution, norm = model[0], model[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        maps = [convolution(images) for images, _ in quarters()]
    means = torch.stack([part.mean(dim=(0, 2, 3)) for part in maps])
    variances = torch.stack([part.var(dim=(0, 2, 3)) for part in maps])
    torch.testing.assert_close(norm.running_mean, means.mean(dim=0))
    torch.testing.assert_close(norm.running_var, variances.mean(dim=0))
    assert norm.momentum == 0.1


def test_distortion_is_small_and_drawn_from_the_generator() -> None:
    images = quarters()[0][0]
    first, again = (distort(images, QUICK, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, images)
    assert torch.corrcoef(torch.stack([first.flatten(), images.flatten()]))[0, 1] > 0.5
    unchanged = distort(images, STILL, torch.Generator().manual_seed(3))
    torch.testing.assert_close(unchanged, images, atol=1e-4, rtol=1e-4)


def test_distortion_pads_with_the_border() -> None:
    flat = torch.full((4, 3, 16, 16), -0.811)
    torch.testing.assert_close(distort(flat, QUICK, torch.Generator().manual_seed(0)), flat)


def test_one_cycle_rises_once_and_falls_to_zero() -> None:
    shares = [one_cycle(step / 100, 0.3) for step in range(101)]
    assert shares[0] == pytest.approx(1 / 25)
    assert shares[30] == pytest.approx(1.0)
    assert shares[100] == pytest.approx(0.0)
    assert shares[:31] == sorted(shares[:31])
    assert shares[30:] == sorted(shares[30:], reverse=True)


@pytest.mark.parametrize("block", ["resnet18", "resnet50"])
def test_zero_residual_makes_blocks_the_identity(block: str) -> None:
    model = torchvision.models.get_model(block, weights=None, num_classes=10).eval()
    initialize(model, Recipe(initialization="zero_residual"))
    channels = model.fc.in_features
    inputs = torch.rand(2, channels, 2, 2)
    with torch.inference_mode():
        assert torch.equal(model.layer4[1](inputs), inputs)


def test_he_keeps_signals_alive_and_first_logits_small() -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(8):
        layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 64, 10))
    initialize(model, Recipe(initialization="he"))
    images = torch.randn(4, 64, 8, 8)
    with torch.inference_mode():
        features = model[:-2](images)
        logits = model(images)
    assert features.pow(2).mean() > 0.1
    assert logits.pow(2).mean() < features.pow(2).mean()
    assert not any(value.any() for name, value in model.named_parameters() if "bias" in name)


def test_as_built_changes_nothing() -> None:
    model = small_net()
    before = [parameter.clone() for parameter in model.parameters()]
    initialize(model, Recipe())
    assert all(map(torch.equal, before, model.parameters()))


def test_every_built_in_model_has_a_recipe_and_others_the_default() -> None:
    built_in = {spec.name for spec in vars(zoo).values() if isinstance(spec, zoo.ModelSpec)}
    for dataset, recipes in RECIPES.items():
        assert set(recipes) == built_in <= set(MODELS.names())
        assert recipe_for("vgg16", dataset) == recipes["vgg16"]
        assert recipe_for("somebody_elses", dataset) == Recipe()
    assert recipe_for("vgg16", "somebody_elses") == Recipe()
