"""A tiny trained network, scores of it, and what a compression has to hold."""

import copy
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from support.scores import by_accuracy
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from energybench.compression.base import Compression, Score
from energybench.compression.weights import Zeros, covered_weights, without_adapters
from energybench.records.record import CompressionReport

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

Constraint = Callable[[Compression, nn.Module, CompressionReport], Callable[[], None]]


def _clear_bits(weight: Tensor) -> int:
    """How many low-order bits are clear in every element."""
    together = int(np.bitwise_or.reduce(weight.view(torch.int32).flatten().numpy()))
    return 32 if together == 0 else (together & -together).bit_length() - 1


def _pruned(compression: Compression) -> dict[str, Tensor]:
    """Where each mask of the parts holds zeros; clear bits make others, which may come back."""
    pruned: dict[str, Tensor] = {}
    for part in getattr(compression, "_parts", (compression,)):
        for name, kept in getattr(part, "_zeros", Zeros()).kept.items():
            pruned[name] = pruned.get(name, False) | (kept == 0)
    return pruned


@pytest.fixture(scope="session")
def constraint() -> Constraint:
    """Takes a model just compressed; what it returns asserts that each part's constraint holds."""

    def of(
        compression: Compression, model: nn.Module, report: CompressionReport
    ) -> Callable[[], None]:
        parts = [part for part in report.parts or [report] if not part.no_effect]
        held = [part for part in parts if "-once" not in part.method]
        bits = max((int(part.settings.get("bits", 0)) for part in held), default=0)
        adapted = any(part.method.startswith("lora") for part in parts)
        zeros = _pruned(compression)
        masked = any(part.method in ("prune", "prune-layerwise", "prune-2to4") for part in parts)
        assert masked == any(bool(mask.any()) for mask in zeros.values())
        shapes = {name: value.shape for name, value in without_adapters(model.state_dict()).items()}
        pairs = [name for part in parts for name in part.error]

        def holds() -> None:
            state = without_adapters(model.state_dict())  # those of lora are merged in the end
            assert {name: value.shape for name, value in state.items()} == shapes
            assert all(isinstance(model.get_submodule(name), nn.Sequential) for name in pairs)
            merged = adapted and not any(".lora_" in name for name in model.state_dict())
            for name, weight in covered_weights(model).items():
                assert merged or _clear_bits(weight.detach()) >= bits
                if name in zeros:
                    assert not weight.detach()[zeros[name]].any()

        return holds

    return of


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

    @by_accuracy
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


class MemoryPeak(TorchDispatchMode):
    """The most bytes alive at once of those allocated while it is on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        known = {
            leaf.untyped_storage().data_ptr()
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, Tensor)
        }
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage().data_ptr() not in known:
                storage = leaf.untyped_storage()
                self.alive += storage.nbytes()
                self.peak = max(self.peak, self.alive)
                weakref.finalize(storage, self._freed, storage.nbytes())
        return result

    def _freed(self, size: int) -> None:
        self.alive -= size


@pytest.fixture(scope="session")
def memory_peak() -> type[MemoryPeak]:
    """The context manager above."""
    return MemoryPeak
