"""The weights that masks and bits cover, the copy that a search keeps, and masks in memory.

Covered are the weights of every Linear and convolution; an embedding only where its weight is also
that of a Linear (tied embeddings). Biases, normalization parameters and layer scales are not
covered: together they are under 1 % of the paper's networks, each of them scales or shifts a whole
channel, and published global pruning leaves them out. Masks and bits cover the same weights, so
that their compression rates can be compared. The adapters of `lora` are not covered, and the layer
below an adapter keeps its name.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from energybench.errors import CellError

T = TypeVar("T")

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
    """Return qualified name -> weight (2 to 5 dimensions) of every Linear and convolution.

    A weight shared by several layers is listed once, under the name of the first of them. For
    instance a head that is tied to an embedding is "head.weight".
    """
    names: dict[nn.Parameter, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, _LAYERS) and isinstance(module.weight, nn.Parameter):
            names.setdefault(module.weight, f"{name}.weight".removeprefix("."))
    return without_adapters({name: weight for weight, name in names.items()})


def without_adapters(named: Mapping[str, T]) -> dict[str, T]:
    """Return `named` without the entries of adapters, and the layers below them by their own names.

    peft calls the layer `fc` below an adapter `fc.base_layer`, and the adapter's parts `fc.lora_A`
    and `fc.lora_B`.
    """
    return {
        name.replace(".base_layer.", "."): value
        for name, value in named.items()
        if ".lora_" not in name
    }


def shared_names(model: nn.Module) -> dict[str, list[str]]:
    """First name -> all names of each covered weight that has several in `model`.

    For instance {"head.weight": ["embedding.weight", "head.weight"]} for tied embeddings.
    """
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    return {
        name: names[weight]
        for name, weight in covered_weights(model).items()
        if len(names[weight]) > 1
    }


def shared_notes(model: nn.Module) -> list[str]:
    """Say of each shared weight that masks and bits act on it as one parameter."""
    return [
        f"{' and '.join(names)} are one parameter, compressed at most once"
        for names in shared_names(model).values()
    ]


def require_weights(method: str, weights: Mapping[str, Tensor]) -> None:
    """Raise `CellError` for no weight, or one that is no float, not finite or not writable."""
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
    """Return whether no element is NaN or infinite, without a copy."""
    if tensor.numel() == 0:
        return True
    lowest, highest = torch.aminmax(tensor.detach())
    return bool(torch.isfinite(lowest) & torch.isfinite(highest))


def shares_memory(tensor: Tensor) -> bool:
    """Return whether elements may share memory, as in expanded tensors."""
    reach = 0
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride <= reach:
                return tensor.numel() > 0
            reach += stride * (size - 1)
    return False


def parameter_count(model: nn.Module) -> int:
    """Return the number of parameters of every kind; a shared one counts once."""
    return sum(parameter.numel() for parameter in model.parameters())


class Originals:
    """A copy of `weights`, which restores them bit for bit."""

    def __init__(self, weights: Mapping[str, nn.Parameter]) -> None:
        self.pairs = [(weight.detach(), weight.detach().clone()) for weight in weights.values()]
        """(weight, its copy)."""

    @torch.no_grad()
    def restore(self) -> None:
        """Write the copy to the weights, in place."""
        for weight, original in self.pairs:
            weight.copy_(original)


class Zeros:
    """Masks of pruned weights, one byte per weight, that zero them again in place.

    The masks are outside the model: it has no buffers, hooks or parametrizations for them, and its
    forward pass is that of the dense network.
    """

    def __init__(self, kept: Iterable[tuple[str, Tensor]] = ()) -> None:
        """Hold `kept`: names of covered weights, and bool masks that are false for pruned ones."""
        self.kept = {name: _all_bits(mask) for name, mask in kept}
        """Name -> int8 mask: all bits set for a kept weight, none for a pruned one."""

    def hold(self, model: nn.Module) -> None:
        """Zero the pruned weights again, whatever their values are, NaN included.

        A frozen weight has kept its zeros.
        """
        if not self.kept:
            return
        weights = covered_weights(model)
        for name, kept in self.kept.items():
            if not weights[name].requires_grad:
                continue
            self.kept[name] = laid_out_like(weights[name], kept)
            _clear(weights[name].detach(), self.kept[name])


class HoldsZeros:
    """Base of the methods that zero weights once and hold the zeros through training."""

    def __init__(self) -> None:
        self._zeros = Zeros()

    def training_state(self) -> dict[str, Tensor]:
        """Return the masks, by the names of the weights."""
        return dict(self._zeros.kept)

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue with these masks."""
        self._zeros.kept = dict(state)

    def after_step(self, model: nn.Module) -> None:
        """Set the pruned weights back to zero."""
        self._zeros.hold(model)

    def finalize(self, model: nn.Module) -> None:
        """Set the pruned weights to zero."""
        self._zeros.hold(model)


def laid_out_like(weight: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor`, which has the shape of `weight`, with the strides of `weight`.

    It is a copy where the strides differ: a mask or remainder must follow its weight into another
    memory format.
    """
    if tensor.stride() == weight.stride():
        return tensor
    return torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor)


def zero_unless(weight: Tensor, kept: Tensor) -> None:
    """Zero the elements for which the bool mask `kept` is false, in place, NaN included."""
    _clear(weight.detach(), _all_bits(kept))


def zero_count(weights: Mapping[str, Tensor]) -> int:
    """Return the number of zero elements of `weights`."""
    return sum(weight.numel() - int(weight.detach().count_nonzero()) for weight in weights.values())


_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Bytes per element -> integer type of that size."""


def _all_bits(mask: Tensor) -> Tensor:
    """Return int8 of a bool mask: -1, which has all bits set, for true, and 0 for false."""
    return mask.view(torch.int8).neg()


def _clear(weight: Tensor, bits: Tensor) -> None:
    integers = weight.view(_INTEGERS[weight.itemsize])
    if weight.device.type == "cpu":  # NumPy widens the mask in the cache, torch in memory
        array = integers.numpy()
        np.bitwise_and(array, bits.numpy(), out=array)
    else:
        integers.bitwise_and_(bits)
