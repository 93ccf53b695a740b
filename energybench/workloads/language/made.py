"""Weights that are trained here, once, and kept in the cache: pretrained, or fine-tuned first."""

import hashlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from energybench.errors import CellError
from energybench.progress import Progress
from energybench.workloads.language.blocks import BlockBatches, packed
from energybench.workloads.language.models import LanguageModel
from energybench.workloads.language.scoring import training_loss
from energybench.workloads.language.state import load_state
from energybench.workloads.order import BatchOrder
from energybench.workloads.weights.cache import save
from energybench.workloads.weights.made_here import facts_of, file_of, key_of, with_threads
from energybench.workloads.weights.state_files import read_checkpoint

log = logging.getLogger(__name__)

VERSION = 1
"""Goes up with each change below that makes other weights of the same recipe."""


@dataclass(frozen=True)
class Recipe:
    """AdamW under a one-cycle schedule, on shuffled blocks of one text."""

    learning_rate: float
    """At the peak of the cycle."""
    epochs: int
    batch_size: int
    """Blocks per step."""
    block_length: int
    most_steps: int | None = None
    """Steps after which training ends; None for all of the epochs'."""
    warmup: float = 0.1
    """Share of all steps in which the learning rate rises, 0..1."""
    weight_decay: float = 0.01
    gradient_norm: float = 1.0
    """Largest Euclidean norm of all gradients together; larger gradients are scaled down."""


@dataclass(frozen=True, eq=False)
class MadeHere:
    """The `Weights` of `spec`, trained from `start` on `text` by `recipe`."""

    spec: LanguageModel
    start: Callable[[], nn.Module]
    """Makes the network to begin with; may draw from PyTorch's generator, which `seed` sets."""
    text: str
    recipe: Recipe
    source: str
    """The record's words for where the weights come from."""
    device: torch.device
    seed: int = 0
    """Initializes the network and orders the blocks."""
    origin: str = ""
    """What `start` depends on beside the seed: part of the key."""
    threads: int = field(default_factory=torch.get_num_threads)
    """Threads that PyTorch uses meanwhile: on a CPU, sums depend on them."""

    @cached_property
    def key(self) -> str:
        """The cache key: a hash of everything that can change the resulting weights."""
        facts = {
            "model": self.spec.name,
            "vocabulary": self.spec.vocabulary,
            "origin": self.origin,
            "text": hashlib.sha256(self.text.encode()).hexdigest(),
            "recipe": asdict(self.recipe),
            "version": VERSION,
            "seed": self.seed,
            "transformers": metadata.version("transformers"),
        }
        return key_of(facts, self.device, self.threads)

    @property
    def path(self) -> Path:
        """The file of the weights in the cache, whether it exists or not."""
        return file_of(self.spec.name, self.key)

    @property
    def facts(self) -> Mapping[str, Any]:
        """The "key" of the cached weights; {} if there are none."""
        return facts_of(self.path, self.key)

    def ensure(self, progress: Progress, say: Callable[[str], None] = log.info) -> None:
        """Train the network and cache its weights, unless they are cached.

        `say` is told so before it starts. Raises `CellError` when a loss is not finite,
        `UsageError` when the cache is not writable.
        """
        if self.facts:
            return
        path = self.path
        say(f"training {self.spec.name}, once, on {self.device.type}; its weights stay in {path}")
        with with_threads(self.threads):
            torch.manual_seed(self.seed)
            model = self.start().to(self.device)
            self._train(model, progress)
        save(path, model, {"key": self.key})

    def load(self, device: torch.device, seed: int = 0) -> tuple[nn.Module, dict[str, Any]]:
        """Return a new network on `device` with the weights, and the record's entries on them.

        Weights that are missing are made first.
        """
        self.ensure(Progress(None))
        torch.manual_seed(seed)
        model = self.spec.build()
        load_state(model, read_checkpoint(self.path), self.spec.name, str(self.path))
        return model.to(device), {"source": self.source, "head_replaced": False, "key": self.key}

    def _train(self, model: nn.Module, progress: Progress) -> None:
        """Follow the recipe, in place; the model ends in evaluation mode."""
        recipe = self.recipe
        tokens = torch.tensor(self.spec.encode(self.text))
        blocks = packed(tokens, recipe.block_length, f"the text of {self.spec.name}")
        order = BatchOrder("pretrain", len(blocks), recipe.batch_size, self.seed)
        batches = BlockBatches(blocks, order)
        steps = min(recipe.epochs * len(batches), recipe.most_steps or math.inf)
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=int(steps), pct_start=recipe.warmup
        )
        model.train()
        done = 0
        with progress.bar(f"training {self.spec.name}", int(steps)) as show:
            while done < steps:
                for tokens, following in batches:
                    batch = tokens.to(self.device), following.to(self.device)
                    loss, _ = training_loss(model, batch)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_norm)
                    optimizer.step()
                    schedule.step()
                    done += 1
                    show(f"loss {_finite(loss.item(), self.spec.name):.3f}")
                    if done == steps:
                        break
        model.eval()


def _finite(loss: float, name: str) -> float:
    if not math.isfinite(loss):
        raise CellError(f"the loss of training {name} is {loss}; lower the rate of its recipe")
    return loss
