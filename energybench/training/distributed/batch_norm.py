"""Batch norm over the batches of all ranks, so that results do not depend on the world size.

PyTorch's SyncBatchNorm does this on GPUs only; `_OnCpu` does it on the CPU.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from energybench.compression.batch_norm import is_frozen


@contextmanager
def over_all_ranks(
    model: nn.Module, device: torch.device, group: dist.ProcessGroup | None = None
) -> Iterator[None]:
    """Let every batch norm in `model` normalize over the batches of all ranks, within the block.

    `group` is the process group of GPUs; the CPU uses the default group. Parameters and running
    statistics stay the model's own, and its own modules are put back at the end. Frozen ones stay.
    """
    gpu = device.type == "cuda"
    kind = partial(nn.SyncBatchNorm, process_group=group) if gpu else _OnCpu
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, _BatchNorm) and not is_frozen(child)
    ]
    for parent, name, child in places:
        setattr(parent, name, _like(child, kind))
    try:
        yield
    finally:
        for parent, name, child in places:
            child.training = getattr(parent, name).training
            setattr(parent, name, child)


def _like(original: _BatchNorm, kind: Callable[..., _BatchNorm]) -> _BatchNorm:
    """Make a batch norm of another class that shares `original`'s parameters and statistics."""
    made = kind(original.num_features, eps=original.eps, momentum=original.momentum, affine=False)
    made.affine, made.weight, made.bias = original.affine, original.weight, original.bias
    made.track_running_stats = original.track_running_stats
    made.running_mean, made.running_var = original.running_mean, original.running_var
    made.num_batches_tracked = original.num_batches_tracked
    made.training = original.training
    return made


class _OnCpu(_BatchNorm):
    """Batch norm over all ranks on the CPU; the ranks' batches must have equal sizes."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (batch, channels, ...), computing in float32 or wider; keeps shape and type."""
        if not (self.training or self.running_mean is None):
            return super().forward(input)
        ranks = dist.get_world_size()
        dims = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        mean = _sum_over_ranks(values.mean(dims)) / ranks
        centred = values - mean.view(shape)
        variance = _sum_over_ranks(centred.square().mean(dims)) / ranks
        if self.training:
            self._track(mean.detach(), variance.detach(), ranks * input.numel() // len(mean))
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running mean and the running unbiased variance."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        cumulative = self.momentum is None
        share = 1.0 / float(self.num_batches_tracked) if cumulative else float(self.momentum or 0)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / (count - 1), share)


class _Sum(torch.autograd.Function):
    """Sum over all ranks. Every rank's loss depends on the sum, so gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _sum_over_ranks(value: Tensor) -> Tensor:
    found: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return found
