"""The cache of networks pretrained on a data set's own `pretrain` split."""

import hashlib
import inspect
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from energybench.errors import UsageError
from energybench.files import cache_folder, publish
from energybench.progress import Progress
from energybench.workloads.images.networks import ModelSpec
from energybench.workloads.images.vision import torchvision
from energybench.workloads.images.weights import trainer
from energybench.workloads.images.weights.recipes import Recipe, recipe_for

log = logging.getLogger(__name__)

SEED = 0
_CHECKSUM = "checksum"


@dataclass(frozen=True)
class Pretraining:
    """What a network is pretrained on and by."""

    spec: ModelSpec
    fingerprint: str
    """Of the data set."""
    classes: int
    image_size: int
    device: torch.device

    @property
    def recipe(self) -> Recipe:
        """How the network is pretrained."""
        return recipe_for(self.spec.name)

    @property
    def key(self) -> str:
        """Changes with everything that can change the resulting weights."""
        facts = {
            "model": self.spec.name,
            "data": self.fingerprint,
            "classes": self.classes,
            "image_size": self.image_size,
            "recipe": asdict(self.recipe),
            "trainer": inspect.getsource(trainer),
            "seed": SEED,
            "energybench": metadata.version("energybench"),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "device": self.device.type,
            "threads": torch.get_num_threads(),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def path(self) -> Path:
        """Where the checkpoint is kept."""
        return cache_folder("pretrained") / f"{self.spec.name}-{self.key}.safetensors"

    def build(self, batches: Iterable[tuple[Tensor, Tensor]], progress: Progress) -> nn.Module:
        """Pretrain a new network, with a progress bar."""
        torch.manual_seed(SEED)
        model = self.spec.build(self.classes)
        with progress.bar(f"pretraining {self.spec.name}", self.recipe.epochs) as step:
            trainer.pretrain(
                model,
                batches,
                self.recipe,
                self.device,
                SEED,
                lambda epoch, epochs, loss: step(f"loss {loss:.3f}"),
            )
        return model


def save(path: Path, model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write weights and, as the file's metadata, `facts` (as JSON)."""
    from safetensors.torch import save_file

    state = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    known = dict(facts) | {_CHECKSUM: checksum(state)}
    publish(path, lambda target: save_file(state, target, {"facts": json.dumps(known)}))


def read_facts(path: Path) -> dict[str, Any] | None:
    """The facts that `save` put beside the weights; None when the file is missing or damaged.

    The weights are read once per process and file, to tell damage that the file's format does not.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    return _checked_facts(path, stat.st_size, stat.st_mtime_ns)


@cache
def _checked_facts(path: Path, size: int, mtime_ns: int) -> dict[str, Any] | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError):
        return None
    if not isinstance(facts, dict):
        raise UsageError(f"{path} is not from energybench; delete it")
    expected = facts.pop(_CHECKSUM, None)
    if expected is None:  # of an energybench that wrote none
        return None
    if expected != checksum(state):
        log.warning("%s is damaged; the network is pretrained again", path)
        return None
    return facts


def checksum(state: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits of names, shapes and contents: any single changed element shows.

    Tensors of whole bytes, summed in 64 bits: as fast as memory, and no defence against malice.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        raw = state[name].contiguous().reshape(-1).view(torch.uint8)
        words = raw[: raw.numel() // 4 * 4].view(torch.int32)
        sums = int(words.sum(dtype=torch.int64)), int(raw.sum(dtype=torch.int64))
        digest.update(f"{name}{tuple(state[name].shape)}{sums}".encode())
    return digest.hexdigest()[:16]
