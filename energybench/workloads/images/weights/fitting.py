"""Fits a state_dict to a network: names as wrappers and earlier versions wrote them, a new head."""

import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from energybench.errors import UsageError
from energybench.workloads.images.networks import ModelSpec

log = logging.getLogger(__name__)

_WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of names that `torch.compile`, FSDP and checkpointed layers add anywhere in a name."""
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""Beginnings of names in the auxiliary classifiers of torchvision's Inception and GoogLeNet."""
_COUNTERS = ("n_averaged", "num_batches_tracked")
"""Ends of names that are no weights: steps of an `AveragedModel`, of a batch norm."""
_OLD_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


def load_weights(
    model: nn.Module, spec: ModelSpec, state: Mapping[str, Tensor], origin: str
) -> bool:
    """Load `state` into `model`, in place; return whether the head is new.

    Names may have the prefixes of wrappers, or be those of an earlier torchvision. The head is new
    where `state` has none or one of another size. Entries of an auxiliary classifier that `model`
    lacks are ignored. Anything else that does not fit, and a weight that is not finite, raises
    `UsageError`, which names `origin` and the entry; `model` is then of no use.
    """
    own = model.state_dict()
    found = _as_named_in(model, own, state, origin)
    head = f"{spec.head}."
    replaced = _shapes(found, head) != _shapes(own, head)
    if replaced:
        for name in _shapes(found, head):
            del found[name]
    _check_values(spec, own, found, origin)
    try:
        odd = model.load_state_dict(found, strict=False)
    except (RuntimeError, ValueError, TypeError) as error:
        line = str(error).strip().splitlines()[-1].strip()
        raise UsageError(f"{origin} is not this {spec.name}: {line}") from error
    new = _new_with_the_head(model, spec) if replaced else frozenset()
    for kind, names in (("lacks", odd.missing_keys), ("has the unknown", odd.unexpected_keys)):
        for name in names:
            if name not in new and not name.endswith(_COUNTERS):
                raise UsageError(f"{origin} is not a {spec.name}: it {kind} {name}")
    _check_finite(model, origin)
    return replaced


@cache
def warn_once(line: str) -> None:
    """Log a warning; the same line only once in this process."""
    log.warning("%s", line)


def _as_named_in(
    model: nn.Module, own: Mapping[str, Tensor], state: Mapping[str, Tensor], origin: str
) -> "OrderedDict[str, Tensor]":
    """Return the entries of `state` that are of `model`, under the names of this torchvision."""
    from energybench.workloads.images.vision import torchvision

    names = {name: _without_wrappers(name) for name in state}
    if isinstance(model, torchvision.models.DenseNet):
        names = {name: _OLD_DENSE_LAYER.sub(r"\1\2", new) for name, new in names.items()}
    prefix = _prefix(own, names.values(), origin)
    beside = [name for name, new in names.items() if not new.startswith(prefix)]
    beside = [name for name in beside if not name.endswith(_COUNTERS)]
    if beside:
        warn_once(f"{origin}: ignored {len(beside)} entries beside {prefix}*, such as {beside[0]}")
    absent = tuple(one for one in _AUXILIARY if not any(name.startswith(one) for name in own))
    found: OrderedDict[str, Any] = OrderedDict()
    for name, new in names.items():
        if new.startswith(prefix) and not new.removeprefix(prefix).startswith(absent):
            found[new.removeprefix(prefix)] = state[name]
    versions = getattr(state, "_metadata", None)
    if isinstance(versions, Mapping):
        found._metadata = {  # type: ignore[attr-defined]
            f"{_without_wrappers(name)}.".removeprefix(prefix).rstrip("."): version
            for name, version in versions.items()
            if f"{_without_wrappers(name)}.".startswith(prefix) and isinstance(version, Mapping)
        }
    return found


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _prefix(own: Mapping[str, Tensor], names: Iterable[str], origin: str) -> str:
    """Return the beginning, such as "module.", under which most names of `own` are found.

    Raises `UsageError` where two beginnings are as good, which stand for two networks.
    """
    found = Counter[str]()
    for name in names:
        parts = name.split(".")
        for place in range(len(parts)):
            if ".".join(parts[place:]) in own:
                found[".".join(parts[:place]) + "." if place else ""] += 1
    most = max(found.values(), default=0)
    best = [prefix for prefix, count in found.items() if count == most]
    if len(best) > 1:
        listed = " and ".join(f"{prefix}*" for prefix in best[:2])
        raise UsageError(f"{origin} holds several networks, {listed}; save one of them alone")
    return best[0] if best else ""


def _shapes(state: Mapping[str, Tensor], beginning: str) -> dict[str, torch.Size]:
    return {name: one.shape for name, one in state.items() if name.startswith(beginning)}


def _check_values(
    spec: ModelSpec, own: Mapping[str, Tensor], found: Mapping[str, Tensor], origin: str
) -> None:
    """Raise `UsageError` for an entry of another shape, or of whole numbers for weights."""
    for name in (name for name in found if name in own):
        ours, theirs = own[name], found[name]
        if ours.shape != theirs.shape:
            raise UsageError(
                f"{origin} is not this {spec.name}: {name} is {tuple(theirs.shape)}, "
                f"expected {tuple(ours.shape)}"
            )
        if ours.is_floating_point() and not theirs.is_floating_point():
            raise UsageError(
                f"{origin} is not this {spec.name}: {name} is {_kind(theirs)}, "
                f"expected {_kind(ours)}; save it dequantized"
            )


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _new_with_the_head(model: nn.Module, spec: ModelSpec) -> frozenset[str]:
    """Names of entries that a file without a head may lack: the head's, and norms' beside it.

    A new norm is the identity. ConvNeXt has one between its features and its head.
    """
    beside = spec.head.rpartition(".")[0]
    return frozenset(
        f"{path}.{name}"
        for path, module in model.named_modules()
        if path == spec.head
        or path.startswith(f"{spec.head}.")
        or (beside and path.rpartition(".")[0] == beside and isinstance(module, _NORMS))
        for name in module.state_dict()
    )


def _check_finite(model: nn.Module, origin: str) -> None:
    bad = [name for name, one in model.state_dict().items() if not _is_finite(one)]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise UsageError(
            f"{origin} has NaN or infinite values in {bad[0]}{more}; name weights that are finite"
        )


def _is_finite(tensor: Tensor) -> bool:
    """Return whether no element is NaN or infinite, without a copy of the tensor."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    return all(bool(bound.isfinite()) for bound in tensor.aminmax())
