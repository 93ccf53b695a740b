"""The memory of one rank in training steps."""

import torch
from torch import nn

from energybench.config import FinetuneConfig
from energybench.runs.forecasts.memory import MemoryWatch, own_bytes
from energybench.training.passes import sgd


def test_a_tensor_that_is_divided_among_ranks_counts_with_its_share() -> None:
    class Divided(torch.Tensor):
        def to_local(self) -> torch.Tensor:
            return torch.zeros(5)

    assert own_bytes(Divided(torch.zeros(10))) == 20
    assert own_bytes(torch.zeros(10)) == 40


def test_weights_that_are_not_trained_have_no_gradients_and_no_momentum() -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    network[0].requires_grad_(False)
    optimizer = sgd(network, FinetuneConfig())
    network(torch.zeros(4, 8)).sum().backward()
    optimizer.step()
    watch = MemoryWatch(network, optimizer, torch.device("cpu"))
    held = torch.ones(16 * 2**20)
    use = watch.use()
    assert use.parameters == 4 * (8 * 8 + 8 + 8 * 2 + 2)
    assert use.gradients == use.momentum == 4 * (8 * 2 + 2)
    assert use.activations >= 0.9 * held.nbytes
    assert use.peak >= use.activations
