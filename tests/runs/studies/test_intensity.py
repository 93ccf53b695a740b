import math

import pytest
import torch
from torch import nn

from energybench.runs.studies import intensity
from energybench.runs.studies.intensity import (
    bytes_moved,
    flops,
    peak_bytes_per_s,
    peak_flops_per_s,
)

CPU = torch.device("cpu")


def test_flops_of_a_linear_layer_forward_and_backward() -> None:
    layer = nn.Linear(16, 32)
    images = torch.randn(8, 16, requires_grad=True)
    assert flops(lambda: layer(images)) == 2 * 8 * 16 * 32
    # backward: the gradient of the input, and that of the weight
    assert flops(lambda: layer(images).sum().backward()) == 3 * 2 * 8 * 16 * 32


def test_flops_of_a_convolution() -> None:
    layer = nn.Conv2d(3, 5, 3, padding=1, groups=1)
    assert flops(lambda: layer(torch.randn(2, 3, 10, 10))) == 2 * 2 * 5 * 10 * 10 * 3 * 9


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_flops_of_a_grouped_convolution_backward(groups: int) -> None:
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=groups)
    images = torch.randn(2, 8, 10, 10, requires_grad=True)
    forward = flops(lambda: layer(images))
    assert forward == 2 * 2 * 8 * 10 * 10 * (8 // groups) * 9
    assert flops(lambda: layer(images).sum().backward()) == 3 * forward


def test_fewer_operations_after_factorization() -> None:
    whole = nn.Linear(64, 64)
    factors = nn.Sequential(nn.Linear(64, 4), nn.Linear(4, 64))
    images = torch.randn(8, 64)
    assert flops(lambda: factors(images)) == 2 * flops(lambda: whole(images)) * 4 // 64


def test_bytes_are_inputs_and_outputs() -> None:
    one, other = torch.randn(100), torch.randn(100)
    assert bytes_moved(lambda: one + other) == 3 * 400
    assert bytes_moved(lambda: one.add_(other)) == 3 * 400  # reads two, writes one
    assert bytes_moved(lambda: one.to(torch.bfloat16)) == 400 + 200
    assert bytes_moved(lambda: torch.mul(one, other, out=torch.empty(100))) == 3 * 400 + 400


def test_bytes_of_an_optimizer_that_returns_nothing() -> None:
    weight = nn.Parameter(torch.randn(100))
    weight.grad = torch.randn(100)
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, fused=True)
    optimizer.step()  # makes the momentum
    # reads weight, gradient, momentum; writes all but what it only reads
    assert 5 * 400 <= bytes_moved(optimizer.step) <= 6 * 400


def test_views_and_allocations_move_nothing() -> None:
    matrix = torch.randn(10, 10)
    assert bytes_moved(lambda: matrix.t().reshape(10, 10)[1:].detach()) == 0
    assert bytes_moved(lambda: torch.empty(1000)) == 0


def test_ceilings_are_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(intensity._MATRIX, "cpu", 128)
    monkeypatch.setitem(intensity._BUFFER, "cpu", 2**20)
    for precision in ("fp32", "bf16"):
        found = peak_flops_per_s(precision, CPU, lambda: None, rounds=2)
        assert math.isfinite(found)
        assert found > 0
    assert peak_bytes_per_s(CPU, lambda: None, rounds=2) > 0
