import pytest
import torch
from support.scores import by_accuracy
from torch import nn

from energybench.compression.base import (
    Baseline,
    Compression,
    precisions_of,
    required_precision,
)
from energybench.compression.prune import Prune
from energybench.registry import METHODS


@pytest.mark.parametrize("precision", ["tf32", "bf16", "default"])
def test_a_control_is_the_baseline_in_one_arithmetic(precision: str) -> None:
    control: Compression = METHODS.get(f"baseline-{precision}")()
    model = nn.Linear(4, 4)
    before = model.weight.detach().clone()

    @by_accuracy
    def unasked(model: nn.Module) -> float:
        raise AssertionError("a control searches nothing")

    report = control.compress(model, unasked, 1.0)
    control.after_step(model)
    control.finalize(model)
    assert torch.equal(model.weight, before)
    assert report.method == control.name == f"baseline-{precision}"
    assert (report.settings, report.compression_rate, report.curve) == ({}, 0.0, [])
    assert not report.no_effect
    assert precisions_of(control) == (precision,)
    assert required_precision(control) == precision


@pytest.mark.parametrize("method", [Baseline, Prune])
def test_other_methods_bear_on_no_arithmetic(method: type[Compression]) -> None:
    assert precisions_of(method()) == ()
    assert required_precision(method()) is None
