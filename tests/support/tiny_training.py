"""Fine-tunings in no time: of a tiny convolutional network on digits, and of a letter model."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from energybench.compression.base import Compression
from energybench.compression.compose import build
from energybench.config import FinetuneConfig
from energybench.energy.readings import EnergyReading
from energybench.records.metric import Metric
from energybench.records.record import EpochRecord
from energybench.training.evaluate import evaluate
from energybench.training.plan import Finetuning
from energybench.workloads.base import Batch, Forward, Scores, Share, Split
from energybench.workloads.images.data.digits import Digits
from energybench.workloads.order import slice_of
from support.scores import by_accuracy

CPU = torch.device("cpu")
DATA = Digits()
TASK = DATA.task("resnet18", None, CPU)
"""Its loss and its scores are those of any image classifier."""


class NextLetter:
    """Predicts the next letter of a cyclic alphabet; batches are dicts, the metric is perplexity.

    Lower is better, and an item is a letter: a batch of sequences has more items than sequences.
    """

    LETTERS, LENGTH = 5, 7
    metric = Metric("perplexity", higher_is_better=False, unit="perplexity", scale=1.0)
    name = "next-letter prediction"
    item = "letter"

    def model(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Embedding(self.LETTERS, 8), nn.Linear(8, self.LETTERS))

    def batches(self, split: Split, batch_size: int, seed: int, share: Share = (0, 1)) -> Any:
        draw = torch.Generator().manual_seed(seed)
        starts = torch.randint(self.LETTERS, (64, 1), generator=draw)
        text = (starts + torch.arange(self.LENGTH + 1)) % self.LETTERS
        mine = text[slice_of(len(text), share)]
        return [
            {"letters": part[:, :-1], "targets": {"next": part[:, 1:]}}
            for part in mine.split(batch_size)
        ]

    def loss(self, forward: Forward, batch: Batch) -> tuple[Tensor, int]:
        targets = batch["targets"]["next"]
        logits = forward(batch["letters"])
        return cross_entropy(logits.flatten(0, 1), targets.flatten()), targets.numel()

    def answer(self, model: nn.Module, batch: Batch) -> Any:
        return model(batch["letters"])

    def evaluate(self, model: nn.Module, batch: Batch) -> Scores:
        targets = batch["targets"]["next"].flatten()
        logits = model(batch["letters"]).flatten(0, 1)
        loss = cross_entropy(logits, targets, reduction="sum")
        said = logits.argmax(dim=1)
        return Scores(loss=loss, metric=loss, outcomes=said, right=said == targets)

    def metric_value(self, mean: float) -> float:
        return math.exp(mean)

    def synthetic(self, batch_size: int, device: torch.device) -> Batch:
        letters = torch.randint(self.LETTERS, (batch_size, self.LENGTH), device=device)
        return {"letters": letters, "targets": {"next": letters}}

    def facts(self) -> dict[str, Any]:
        return {"length": self.LENGTH}


@dataclass
class Clock:
    reading: EnergyReading


@contextmanager
def window() -> Iterator[Clock]:
    yield Clock(EnergyReading(1.0, {"cpu:0": 50.0}, {"cpu:0": "replay"}))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def compressed(method: str) -> tuple[nn.Module, Compression]:
    """Return a network that has learned nothing, compressed as far as a tolerance of 30 points.

    Random bits in the exponents of such a network would not cost it anything.
    """
    at = "@16" if method == "stego-once-random" else ""
    model, compression = network(), build(method + at)
    validation = list(DATA.batches("validation", 8, 128, 0))
    compression.compress(
        model, by_accuracy(lambda now: evaluate(now, TASK, validation, CPU).value), 30.0
    )
    return model, compression


def plan(skip: int = 0, **changes: Any) -> Finetuning:
    train = DATA.batches("train", 8, 64, 0)
    train.skip(skip)
    config = FinetuneConfig(max_epochs=5, learning_rate=0.05)
    validation = DATA.batches("validation", 8, 128, 0)
    whole = Finetuning(TASK, train, validation, config, 0, CPU, "fp32", window, lambda epoch: None)
    return replace(whole, **changes)


def state(model: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def untimed(epochs: Iterable[EpochRecord]) -> list[EpochRecord]:
    """What training gave, however long it waited for data."""
    return [replace(epoch, data_wait_share=None) for epoch in epochs]
