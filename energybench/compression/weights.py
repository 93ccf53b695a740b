"""The weights that masks and bits act on, and the one copy of them that a search keeps.

Covered are the weights of every Linear and convolution. Biases, normalization parameters and layer
scales are not: together they are under 1 % of the paper's networks, each of them moves a
whole channel, and global pruning as published leaves them out. Masks and bits cover the same
weights, so that their rates can be compared.
"""

from collections.abc import Iterable, Mapping

import numpy as np
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
    """Raise `CellError` unless there is a weight, and all are floats, finite and can be written."""
    if not weights:
        raise CellError(f"{method}: the model has no layer that it can compress")
    for name, weight in weights.items():
        if not weight.is_floating_point():
            raise CellError(f"{method}: {name} is {weight.dtype}; it compresses floats only")
        if shares_memory(weight):
            raise CellError(f"{method}: elements of {name} share memory; clone it first")
        if not is_finite(weight):
            raise CellError(f"{method}: {name} holds NaN or infinity; check the model's weights")


def is_finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite; makes no copy."""
    if tensor.numel() == 0:
        return True
    lowest, highest = torch.aminmax(tensor.detach())
    return bool(torch.isfinite(lowest) & torch.isfinite(highest))


def shares_memory(tensor: Tensor) -> bool:
    """Whether elements may lie in one place, as in expanded tensors: one could change twice."""
    reach = 0
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return tensor.numel() > 0
            reach += stride * (size - 1)
    return False


def parameter_count(model: nn.Module) -> int:
    """Parameters of every kind, a shared one counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


class Originals:
    """A copy of `weights`, to bring them back bit for bit."""

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        self.pairs = [(weight.detach(), weight.detach().clone()) for weight in weights.values()]
        """(weight, its copy)."""

    @torch.no_grad()
    def restore(self) -> None:
        """Write the copy back, in place."""
        for weight, original in self.pairs:
            weight.copy_(original)


class Zeros:
    """Which weights are zero, one byte for each, to set them back to zero in place.

    They live outside the model: it has no buffers, hooks or parametrizations for them, and its
    forward pass is that of the dense network.
    """

    def __init__(self, kept: Iterable[tuple[str, Tensor]] = ()) -> None:
        """`kept`: names of covered weights, and bool masks that are false where they are zero."""
        self.kept = {name: _all_bits(mask) for name, mask in kept}
        """Name -> int8, all bits set where the weight is kept and none where it is zero."""

    def hold(self, model: nn.Module) -> None:
        """Set the weights that are not kept back to zero, whatever is in them, NaN included."""
        if not self.kept:
            return
        weights = covered_weights(model)
        for name, kept in self.kept.items():
            self.kept[name] = laid_out_like(weights[name], kept)
            _clear(weights[name].detach(), self.kept[name])


class HoldsZeros:
    """What methods have in common that zero weights once, and keep them so through training."""

    def __init__(self) -> None:
        self._zeros = Zeros()

    def training_state(self) -> dict[str, Tensor]:
        """Which weights are kept, by name."""
        return dict(self._zeros.kept)

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Keep these."""
        self._zeros.kept = dict(state)

    def after_step(self, model: nn.Module) -> None:
        """Set the pruned weights back to zero."""
        self._zeros.hold(model)

    def finalize(self, model: nn.Module) -> None:
        """Set the pruned weights to zero."""
        self._zeros.hold(model)


def laid_out_like(weight: Tensor, tensor: Tensor) -> Tensor:
    """`tensor`, of the shape of `weight`, with its strides: as it is where it has them, or a copy.

    What is kept of a weight must follow it when it gets another memory format.
    """
    if tensor.stride() == weight.stride():
        return tensor
    return torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor)


def zero_unless(weight: Tensor, kept: Tensor) -> None:
    """Zero what the bool mask `kept` is false for, in place, whatever is in it."""
    _clear(weight.detach(), _all_bits(kept))


def zero_count(weights: Mapping[str, Tensor]) -> int:
    """How many elements of `weights` are zero."""
    return sum(weight.numel() - int(weight.detach().count_nonzero()) for weight in weights.values())


_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Bytes -> the integers of that size."""


def _all_bits(mask: Tensor) -> Tensor:
    """int8: -1, which has all bits set, for true, and 0 for false."""
    return mask.view(torch.int8).neg()


def _clear(weight: Tensor, bits: Tensor) -> None:
    integers = weight.view(_INTEGERS[weight.itemsize])
    if weight.device.type == "cpu":  # NumPy widens the mask in its cache, torch in memory
        array = integers.numpy()
        np.bitwise_and(array, bits.numpy(), out=array)
    else:
        integers.bitwise_and_(bits)
