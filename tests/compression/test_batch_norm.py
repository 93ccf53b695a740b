"""Fresh statistics of batch norms."""

import pytest
import torch
from torch import nn

from energybench.compression.batch_norm import recompute_batchnorm


def test_statistics_are_the_mean_over_a_pass_and_nothing_else_changes() -> None:
    draw = torch.Generator().manual_seed(0)
    batches = [3 + 2 * torch.randn(16, 4, generator=draw) for _ in range(5)]
    model = nn.Sequential(
        nn.Dropout(0.5), nn.BatchNorm1d(4), nn.BatchNorm1d(4, track_running_stats=False)
    )
    model.eval()[0].train()
    modes = [module.training for module in model.modules()]
    before = [parameter.clone() for parameter in model.parameters()]
    random = torch.get_rng_state()

    def one_pass() -> None:
        for batch in batches:
            model(batch)

    recompute_batchnorm(model, one_pass)
    means = torch.stack([batch.mean(dim=0) for batch in batches])
    variances = torch.stack([batch.var(dim=0) for batch in batches])
    torch.testing.assert_close(model.get_buffer("1.running_mean"), means.mean(dim=0))
    torch.testing.assert_close(model.get_buffer("1.running_var"), variances.mean(dim=0))
    assert all(map(torch.equal, before, model.parameters()))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)


def test_no_pass_without_running_statistics() -> None:
    recompute_batchnorm(nn.Sequential(nn.Linear(4, 4)), lambda: pytest.fail("a pass was made"))
