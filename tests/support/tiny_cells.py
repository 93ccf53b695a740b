"""Cells of a tiny network, for what happens around them."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from energybench.compression.base import Baseline, Score
from energybench.config import FinetuneConfig, RunConfig
from energybench.energy.machine import describe_machine
from energybench.energy.meters.replay import ReplayMeter
from energybench.energy.windows import MeterSet
from energybench.progress import Progress
from energybench.records.record import CompressionReport
from energybench.registry import METHODS, MODELS
from energybench.runs.bench import Bench
from energybench.workloads.images.data.digits import open_digits
from energybench.workloads.images.networks import ModelSpec
from support.replay import FIFTY_JOULES


class Tiny(ModelSpec):
    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes))


class Failing(Baseline):
    """Raises after the first step, and remembers the model without keeping it."""

    error: BaseException
    model: weakref.ref[nn.Module]

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        Failing.model = weakref.ref(model)
        return super().compress(model, score, tolerance)

    def after_step(self, model: nn.Module) -> None:
        raise Failing.error


@contextmanager
def tiny_bench(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Bench]:
    """A run of a tiny model, with `Failing` for stego."""
    spec = Tiny("resnet18", 0, "1", small_image_size=8)
    method: Callable[[str], type[Baseline]] = {"baseline": Baseline, "stego": Failing}.__getitem__
    monkeypatch.setattr(MODELS, "get", lambda name: spec)
    monkeypatch.setattr(METHODS, "get", method)
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(cache))
    config = RunConfig(finetune=FinetuneConfig(max_epochs=1))
    meters = MeterSet({"replay": ReplayMeter(FIFTY_JOULES)})
    cpu = torch.device("cpu")
    yield Bench(config, open_digits(), cpu, meters, describe_machine(), Progress(None))
    meters.close()
    if hasattr(Failing, "error"):
        Failing.error.__traceback__ = None  # which keeps the model
