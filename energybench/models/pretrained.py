"""The cache of networks pretrained on a data set's own `pretrain` split."""

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from energybench.cache import cache_folder, publish
from energybench.errors import UsageError
from energybench.models import pretrain as trainer
from energybench.models.recipes import Recipe, recipe_for
from energybench.models.zoo import ModelSpec
from energybench.progress import Progress
from energybench.vision import torchvision

SEED = 0


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
    publish(path, lambda target: save_file(state, target, {"facts": json.dumps(dict(facts))}))


def read_facts(path: Path) -> dict[str, Any] | None:
    """The facts that `save` put beside the weights; None when the file is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
    except (SafetensorError, KeyError, ValueError, OSError):
        return None
    if not isinstance(facts, dict):
        raise UsageError(f"{path} is not from energybench; delete it")
    return facts
