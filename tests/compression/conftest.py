"""A tiny trained network and scores of it."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import settings
from torch import Tensor, nn

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

Score = Callable[[nn.Module], float]


def _network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, stride=2, groups=4),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3),
        nn.Flatten(),
        nn.Linear(24, 32),
        nn.ReLU(),
        nn.Linear(32, 4),
    )


def _bars(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy 8 x 8 images of a bar at the class's edge; learned to some 95 %."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = torch.randn(count, 1, 8, 8, generator=generator)
    for side, (rows, columns) in enumerate([((0, 3), (0, 8)), ((5, 8), (0, 8))]):
        images[labels == side, :, slice(*rows), slice(*columns)] += 0.8
        images[labels == side + 2, :, slice(*columns), slice(*rows)] += 0.8
    return images, labels


@pytest.fixture(scope="session")
def batch() -> tuple[Tensor, Tensor]:
    return _bars(256, seed=1)


@pytest.fixture(scope="session")
def trained(batch: tuple[Tensor, Tensor]) -> nn.Sequential:
    torch.manual_seed(0)
    network = _network()
    images, labels = batch
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    optimizer.zero_grad()
    return network


@pytest.fixture
def network(trained: nn.Sequential) -> nn.Sequential:
    """A copy of the trained network, in training mode."""
    return copy.deepcopy(trained)


@pytest.fixture(scope="session")
def accuracy() -> Score:
    """The real score: the share of new images classified correctly."""
    images, labels = _bars(200, seed=2)

    def score(model: nn.Module) -> float:
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            correct = (model(images).argmax(dim=1) == labels).sum().item()
        model.train(was_training)
        return float(correct / len(labels))

    return score


@pytest.fixture
def train(batch: tuple[Tensor, Tensor]) -> Callable[..., None]:
    """Five steps of SGD with momentum; calls `after_step(model)` after each."""

    def run(model: nn.Module, after_step: Callable[[nn.Module], None]) -> None:
        images, labels = batch
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            after_step(model)

    return run
