"""Every method on the paper's networks at full size: it applies, trains a step and holds."""

from collections.abc import Callable

import pytest
import torch
from support.scores import by_accuracy
from torch import nn

from energybench.compression.base import Compression
from energybench.compression.compose import build
from energybench.records.record import CompressionReport
from energybench.registry import METHODS, MODELS, image_models

METHOD_NAMES = [
    *(name for name in METHODS.names() if name != "qlora"),
    "prune-channels+lowrank+prune-2to4+stego",
    "lowrank+prune+stego",
]
IN_SHORT = "resnet18"

Constraint = Callable[[Compression, nn.Module, CompressionReport], Callable[[], None]]


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.parametrize(
    "name",
    [
        name if name == IN_SHORT else pytest.param(name, marks=pytest.mark.every_model)
        for name in image_models()
    ],
)
def test_applies_trains_and_holds(name: str, method: str, constraint: Constraint) -> None:
    torch.manual_seed(0)
    spec = MODELS.get(name)
    model = spec.build(10).train()
    images = torch.randn(8, 3, spec.small_image_size, spec.small_image_size)  # 2 ruin BatchNorm
    calls = 0

    @by_accuracy
    def score(now: nn.Module) -> float:
        """Good for two of three settings; runs the model, which fails on shapes that do not fit."""
        nonlocal calls
        calls += 1
        was_training = now.training
        with torch.inference_mode():
            assert now.eval()(images[:2]).shape == (2, 10)
        now.train(was_training)
        return float(calls % 3 != 0)

    compression = build(method)
    report = compression.compress(model, score, 1.0)
    if calls:
        assert report.compression_rate > 0.0
        assert not report.no_effect
    holds = constraint(compression, model, report)
    holds()
    before = [parameter.detach().clone() for parameter in list(model.parameters())[-3:]]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    nn.functional.cross_entropy(model(images), torch.arange(8)).backward()
    optimizer.step()
    compression.after_step(model)
    holds()
    compression.finalize(model)
    holds()
    head = list(model.parameters())[-3:]
    assert not all(torch.equal(now, then) for now, then in zip(head, before, strict=True))
    with torch.inference_mode():
        assert model.eval()(images).isfinite().all()
