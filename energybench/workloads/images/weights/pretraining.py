"""The plan of pretraining one network on a data set's own `pretrain` split, and its cached result.

The plan knows its cache key and file before anything is trained.
"""

import ast
import inspect
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from energybench.progress import Progress
from energybench.workloads.images.data.base import ImageData
from energybench.workloads.images.networks import ModelSpec
from energybench.workloads.images.scoring import scores
from energybench.workloads.images.weights import trainer
from energybench.workloads.images.weights.recipes import Recipe, recipe_for
from energybench.workloads.weights.cache import save
from energybench.workloads.weights.made_here import facts_of, file_of, key_of, with_threads

log = logging.getLogger(__name__)

_TEST_BATCH = 256


@dataclass(frozen=True, eq=False)
class Pretraining:
    """Pretraining of one network on one data set, on one device with a number of threads."""

    spec: ModelSpec
    data: ImageData
    device: torch.device
    threads: int = field(default_factory=torch.get_num_threads)
    """Threads that PyTorch uses meanwhile: on a CPU, sums depend on them."""
    seed: int = 0
    """Initializes the network, orders the batches and distorts the images."""

    @property
    def recipe(self) -> Recipe:
        """The recipe that the network is pretrained by."""
        return recipe_for(self.spec.name, self.data.name)

    @property
    def image_size(self) -> int:
        """Pixels per side of the images."""
        return self.spec.pixels(self.data.photographs)

    @cached_property
    def key(self) -> str:
        """The cache key: a hash of everything that can change the resulting weights."""
        facts = {
            "model": self.spec.name,
            "data": self.data.fingerprint,
            "classes": self.data.classes,
            "image_size": self.image_size,
            "recipe": asdict(self.recipe),
            "trainer": _code(trainer),
            "seed": self.seed,
            "torchvision": metadata.version("torchvision"),
        }
        return key_of(facts, self.device, self.threads)

    @property
    def path(self) -> Path:
        """The file of the weights in the cache, whether it exists or not."""
        return file_of(self.spec.name, self.key)

    @property
    def facts(self) -> dict[str, Any]:
        """The "key" and "test_accuracy" of the cached weights; {} if there are none."""
        return facts_of(self.path, self.key)

    def run(self, progress: Progress, say: Callable[[str], None] = log.info) -> None:
        """Pretrain the network and cache its weights; `say` is told so before it starts.

        Raises `CellError` when a loss is not finite, `UsageError` when the cache is not writable.
        """
        name, recipe = self.spec.name, self.recipe
        say(
            f"pretraining {name} on {self.data.name}, once, for {recipe.epochs} epochs on "
            f"{self.device.type}; its weights are kept in {self.path}"
        )
        with with_threads(self.threads):
            batches = self.data.batches("pretrain", self.image_size, recipe.batch_size, self.seed)
            model = self._trained(batches, progress)
            test = self.data.batches("test", self.image_size, _TEST_BATCH, self.seed)
            accuracy = _accuracy(model, test, self.device)
        save(self.path, model, {"key": self.key, "test_accuracy": accuracy})

    def _trained(self, batches: Iterable[tuple[Tensor, Tensor]], progress: Progress) -> nn.Module:
        torch.manual_seed(self.seed)
        model = self.spec.build(self.data.classes)
        with progress.bar(f"pretraining {self.spec.name}", self.recipe.epochs) as step:
            trainer.pretrain(
                model,
                batches,
                self.recipe,
                self.device,
                self.seed,
                lambda epoch, epochs, loss: step(f"loss {loss:.3f}"),
            )
        return model


@torch.inference_mode()
def _accuracy(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> float:
    """Return the share of images that `model`, in evaluation mode, classifies correctly."""
    correct = images_seen = 0
    for images, labels in batches:
        found = scores(model, (images.to(device), labels.to(device)))
        correct += int(found.metric)
        images_seen += len(labels)
    return correct / images_seen


def _code(module: ModuleType) -> str:
    """Return a module's code without comments and docstrings, whose wording changes no weights."""
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [one for one in body if not _is_text(one)]
    return ast.unparse(tree)


def _is_text(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
