"""Running statistics of batch norms: fresh ones after a change of weights, or frozen ones."""

from collections.abc import Callable
from typing import Self

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recompute_batchnorm(model: nn.Module, one_pass: Callable[[], None]) -> None:
    """Replace the running statistics of every batch norm by their mean over the batches of a pass.

    `one_pass` runs `model` on batches of training items; meanwhile only the batch norms are in
    training mode. It is not called for a model without running statistics. Frozen batch norms keep
    theirs. Modes are restored. The
    exponential averages of training lag behind weights that change fast, and are those of other
    weights after a compression.
    """
    layers = [
        part
        for part in model.modules()
        if isinstance(part, _BatchNorm) and part.running_mean is not None and not is_frozen(part)
    ]
    if not layers:
        return
    modes = [(module, module.training) for module in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean
        layer.train()
    one_pass()
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    for module, mode in modes:
        module.training = mode


class _Frozen(_BatchNorm):
    """A batch norm that never trains: its statistics stay, whatever mode the model is in."""

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)


class FrozenBatchNorm1d(_Frozen, nn.BatchNorm1d):
    """A frozen batch norm over (batch, channels) or (batch, channels, length)."""


class FrozenBatchNorm2d(_Frozen, nn.BatchNorm2d):
    """A frozen batch norm over (batch, channels, height, width)."""


class FrozenBatchNorm3d(_Frozen, nn.BatchNorm3d):
    """A frozen batch norm over (batch, channels, depth, height, width)."""


_FROZEN: dict[type, type[_Frozen]] = {
    nn.BatchNorm1d: FrozenBatchNorm1d,
    nn.BatchNorm2d: FrozenBatchNorm2d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
}


def is_frozen(module: nn.Module) -> bool:
    """Return whether `module` is a frozen batch norm."""
    return isinstance(module, _Frozen)


def freeze_batch_norm(module: nn.Module) -> bool:
    """Freeze `module` in place if it is a batch norm with running statistics; return whether it is.

    Its scale and shift are no longer trained, either.
    """
    kind = _FROZEN.get(type(module))
    if kind is None or module.running_mean is None:
        return is_frozen(module)
    module.__class__ = kind
    module.train()
    module.requires_grad_(False)
    return True
