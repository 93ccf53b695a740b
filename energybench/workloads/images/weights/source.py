"""From a model's name to the pretrained network of one cell."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from energybench.progress import Progress
from energybench.training.evaluate import evaluate
from energybench.workloads.images.data.base import ImageData
from energybench.workloads.images.networks import ModelSpec
from energybench.workloads.images.weights.cache import SEED, Pretraining, read_facts, save
from energybench.workloads.images.weights.state_files import (
    download_imagenet_weights,
    find_checkpoint,
    load_weights,
    read_checkpoint,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainedModel:
    """Where the pretrained weights of one model are, ready to be loaded many times."""

    spec: ModelSpec
    classes: int
    photographs: bool
    source: str
    """`digits pretraining`, `torchvision IMAGENET1K_V1` or the checkpoint's path."""
    path: Path | None
    """None for torchvision's own, which torch.hub keeps."""
    facts: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Changes with the weights."""
        if self.path is None:
            return self.source
        stat = self.path.stat()
        return str(self.facts.get("key") or (self.source, stat.st_size, stat.st_mtime_ns))

    def load(self, device: torch.device, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
        """A new network on `device` with the weights in it, and what to record about them.

        A head of another size is replaced by one that `seed` initializes.
        """
        state = self._state()
        torch.manual_seed(seed)
        model = self.spec.build(self.classes, self.photographs)
        replaced = load_weights(model, self.spec, state, self.source)
        if replaced:
            log.warning(
                "%s: the head of %s has another size; a new one has %d classes",
                self.spec.name,
                self.source,
                self.classes,
            )
        return model.to(device), {"source": self.source, "head_replaced": replaced, **self.facts}

    def _state(self) -> dict[str, Tensor]:
        return read_checkpoint(self.path) if self.path else download_imagenet_weights(self.spec)


def image_size(spec: ModelSpec, data: ImageData) -> int:
    """Pixels per side at which `spec` sees `data`."""
    return spec.image_size if data.imagenet_sized else spec.small_image_size


def pretrained(
    spec: ModelSpec,
    data: ImageData,
    weights: str | None,
    device: torch.device,
    progress: Progress,
) -> PretrainedModel:
    """Find the weights of `spec` for `data`: the user's, torchvision's, or pretrained here.

    A network for a data set with a `pretrain` split is pretrained on first use and then cached.
    """
    kind = spec, data.classes, data.imagenet_sized
    if weights is not None:
        path = find_checkpoint(weights, spec.name)
        return PretrainedModel(*kind, str(path), path, {})
    if "pretrain" not in data.split_sizes:
        return PretrainedModel(*kind, "torchvision IMAGENET1K_V1", None, {})
    plan = Pretraining(spec, data.fingerprint, data.classes, image_size(spec, data), device)
    facts = read_facts(plan.path)
    if facts is None or facts.get("key") != plan.key:
        facts = _pretrain(plan, data, progress)
    return PretrainedModel(*kind, f"{data.name} pretraining", plan.path, facts)


def _pretrain(plan: Pretraining, data: ImageData, progress: Progress) -> dict[str, Any]:
    train = data.batches("pretrain", plan.image_size, plan.recipe.batch_size, SEED)
    model = plan.build(train, progress)
    test = evaluate(model, data.batches("test", plan.image_size, 256, SEED), plan.device)
    facts = {"key": plan.key, "test_accuracy": test.accuracy}
    save(plan.path, model, facts)
    return facts
