"""The weights that masks and bits act on, and the one copy of them that a search keeps.

Covered are the weights of every Linear and convolution. Biases, normalization parameters and layer
scales are not: together they are under 1 % of the paper's networks, each of them moves a
whole channel, and global pruning as published leaves them out. Masks and bits cover the same
weights, so that their rates can be compared.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from energybench.errors import CellError

_LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


def covered_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Qualified name -> weight, of 2 to 5 dimensions, of every Linear and convolution.

    A weight shared by several layers is listed once, under the first of its names.
    """
    names: dict[nn.Parameter, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, _LAYERS) and isinstance(module.weight, nn.Parameter):
            names.setdefault(module.weight, f"{name}.weight".removeprefix("."))
    return {name: weight for weight, name in names.items()}


def require_weights(method: str, weights: Mapping[str, Tensor]) -> None:
    """Raise `CellError` unless there is a weight for `method` to compress and all are finite."""
    if not weights:
        raise CellError(f"{method}: the model has no layer that it can compress")
    for name, weight in weights.items():
        if not is_finite(weight):
            raise CellError(f"{method}: {name} holds NaN or infinity; check the model's weights")


def is_finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite; makes no copy."""
    if tensor.numel() == 0:
        return True
    lowest, highest = torch.aminmax(tensor.detach())
    return bool(torch.isfinite(lowest) & torch.isfinite(highest))


def parameter_count(model: nn.Module) -> int:
    """Parameters of every kind, a shared one counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


class Originals:
    """A copy of `weights`, to bring them back bit for bit."""

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        self._pairs = [(weight, weight.detach().clone()) for weight in weights.values()]

    @torch.no_grad()
    def restore(self) -> None:
        """Write the copy back, in place."""
        for weight, original in self._pairs:
            weight.copy_(original)
