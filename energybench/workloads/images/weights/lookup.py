"""Finds the pretrained weights of a network: a given file, torchvision's, or pretrained here."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.workloads.base import Varies
from energybench.workloads.images.data.base import ImageData
from energybench.workloads.images.networks import ModelSpec
from energybench.workloads.images.weights.fitting import load_weights, warn_once
from energybench.workloads.images.weights.pretraining import Pretraining
from energybench.workloads.weights.state_files import (
    download_imagenet_weights,
    find_checkpoint,
    read_checkpoint,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainedModel:
    """The `Weights` of one network: where they come from, their key, and how they are loaded."""

    spec: ModelSpec
    classes: int
    photographs: bool
    source: str
    """`handwriting pretraining`, `torchvision IMAGENET1K_V1` or the checkpoint's path."""
    path: Path | None = None
    """The file of the weights; None for torchvision's own, which torch.hub keeps."""
    pretraining: Pretraining | None = None
    """Makes the file at `path` where it is missing; None for weights that are not made here."""

    @property
    def key(self) -> str:
        """The cache key, another one for other weights. Reading the key trains nothing.

        Raises `UsageError` if a given file has gone.
        """
        if self.pretraining is not None:
            return self.pretraining.key
        if self.path is None:
            return self.source
        try:
            stat = self.path.stat()
        except OSError as error:
            raise UsageError(
                f"cannot read weights from {self.path}: {error.strerror}; name other weights"
            ) from error
        return str((self.source, stat.st_size, stat.st_mtime_ns))

    @property
    def facts(self) -> Mapping[str, Any]:
        """The record's entries on weights pretrained here: "key" and "test_accuracy", else {}."""
        return {} if self.pretraining is None else self.pretraining.facts

    def ensure(self, progress: Progress, say: Callable[[str], None] = log.info) -> None:
        """Pretrain the network if its weights are made here and not cached; tell `say` before."""
        if self.pretraining is not None and not self.pretraining.facts:
            self.pretraining.run(progress, say)

    def load(self, device: torch.device, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
        """Return a new network on `device` with the weights, and the record's entries on them.

        Weights that are missing are made first, see `ensure`. A head of another size, or
        none, is replaced by a new one that `seed` initializes.
        """
        self.ensure(Progress(None))
        state = self._state()
        torch.manual_seed(seed)
        model = self.spec.build(self.classes, self.photographs)
        replaced = load_weights(model, self.spec, state, self.source)
        if replaced:
            warn_once(
                f"{self.spec.name}: {self.source} has no head of {self.classes} classes; "
                "a new one is trained first"
            )
        return model.to(device), {"source": self.source, "head_replaced": replaced, **self.facts}

    def _state(self) -> dict[str, Tensor]:
        return read_checkpoint(self.path) if self.path else download_imagenet_weights(self.spec)


def pretrained(
    spec: ModelSpec, data: ImageData, weights: str | None, device: torch.device
) -> PretrainedModel:
    """Find the weights of `spec` for `data`, without training or downloading any.

    `weights` is a file, or a folder of <model>.safetensors. Without `weights`, a data set with a
    `pretrain` split pretrains its networks on `device`; others take torchvision's ImageNet weights.
    Raises `UsageError` if `weights` are not there.
    """
    classes, photographs = data.classes, data.photographs
    if weights is not None:
        path = find_checkpoint(weights, spec.name)
        return PretrainedModel(spec, classes, photographs, str(path), path)
    if "pretrain" not in data.split_sizes:
        return PretrainedModel(spec, classes, photographs, "torchvision IMAGENET1K_V1")
    seed = data.split_seed if isinstance(data, Varies) else 0
    plan = Pretraining(spec, data, device, seed=seed)
    source = f"{data.name} pretraining"
    return PretrainedModel(spec, classes, photographs, source, plan.path, plan)
