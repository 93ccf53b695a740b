"""Fresh running statistics of batch norms, for weights that have changed in one go."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recompute_batchnorm(model: nn.Module, one_pass: Callable[[], None]) -> None:
    """Replace the running statistics of every batch norm by their mean over the batches of a pass.

    `one_pass` runs `model` on batches of training items; meanwhile only the batch norms are in
    training mode. It is not called for a model without running statistics. Modes are restored. The
    exponential averages of training lag behind weights that change fast, and are those of other
    weights after a compression.
    """
    layers = [
        part
        for part in model.modules()
        if isinstance(part, _BatchNorm) and part.running_mean is not None
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
