"""Weights of language models from files, and whether they are the network's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.workloads.language.models import LanguageModel
from energybench.workloads.weights.state_files import find_checkpoint, read_checkpoint


def load_state(model: nn.Module, state: Mapping[str, Tensor], name: str, origin: str) -> None:
    """Load `state` into `model`, in place.

    A tied parameter may be there under one of its names alone. Anything else that does not fit
    raises `UsageError`, which names `origin` and the entry.
    """
    own = model.state_dict()
    parameters: dict[int, list[str]] = {}
    for key, value in own.items():
        parameters.setdefault(value.data_ptr(), []).append(key)
    given = dict(state)
    for names in parameters.values():
        found = next((given[key] for key in names if key in given), None)
        given |= {key: found for key in names if found is not None}
    for key in sorted(own.keys() ^ given.keys()):
        kind = "lacks" if key in own else "has the unknown"
        raise UsageError(f"{origin} is not a {name}: it {kind} {key}")
    for key, value in given.items():
        if own[key].shape != value.shape:
            raise UsageError(
                f"{origin} is not this {name}: {key} is {tuple(value.shape)}, "
                f"expected {tuple(own[key].shape)}"
            )
    model.load_state_dict(given)


@dataclass(frozen=True)
class GivenWeights:
    """The `Weights` in a checkpoint that the user names."""

    spec: LanguageModel
    path: Path
    facts: ClassVar[Mapping[str, Any]] = {}

    @property
    def key(self) -> str:
        """The cache key, another one for another file. Raises `UsageError` if it has gone."""
        return str((str(self.path), *stamp(self.path)))

    def ensure(self, progress: Progress, say: Callable[[str], None]) -> None:
        """Do nothing: the weights are there."""

    def load(self, device: torch.device, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
        """Return a new network on `device` with the weights, and the record's entries."""
        torch.manual_seed(seed)
        model = self.spec.build()
        load_state(model, read_checkpoint(self.path), self.spec.name, str(self.path))
        return model.to(device), {"source": str(self.path), "head_replaced": False}


def given_weights(spec: LanguageModel, given: str) -> GivenWeights:
    """Find a checkpoint of `spec`: a file, or its name in a folder; raises `UsageError`."""
    return GivenWeights(spec, find_checkpoint(given, spec.name.replace("/", "-")))


def stamp(path: Path) -> tuple[int, int]:
    """Return size and time of change of `path`; raises `UsageError` if it has gone."""
    try:
        stat = path.stat()
    except OSError as error:
        raise UsageError(
            f"cannot read weights from {path}: {error.strerror}; name other weights"
        ) from error
    return stat.st_size, stat.st_mtime_ns
