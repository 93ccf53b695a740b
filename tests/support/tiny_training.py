"""Fine-tunings of a tiny convolutional network on the digits, in no time."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from energybench.compression.base import Compression
from energybench.compression.compose import build
from energybench.config import FinetuneConfig
from energybench.energy.readings import EnergyReading
from energybench.records.record import EpochRecord
from energybench.training.evaluate import evaluate
from energybench.training.plan import Finetuning
from energybench.workloads.images.data.digits import Digits

CPU = torch.device("cpu")
DATA = Digits()
TASK = DATA.task("resnet18", None, CPU)
"""Its loss and its scores are those of any image classifier."""


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
    model, compression = network(), build(method)
    validation = list(DATA.batches("validation", 8, 128, 0))
    compression.compress(model, lambda now: evaluate(now, TASK, validation, CPU).value, 30.0)
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
