"""Sets of channels: slices of several layers that can only be removed together.

Torch-Pruning's dependency graph finds them: G. Fang et al., "DepGraph: Towards Any Structural
Pruning" (arXiv 2301.12900).
"""

import importlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from energybench.errors import CellError, UsageError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, eq=False)
class Site:
    """The output or input side of one layer, with the dimensions that channels have there."""

    owner: nn.Module
    tensors: dict[str, int]
    """Name of a parameter or buffer of `owner` -> its dimension along the channels."""
    sizes: tuple[str, ...]
    """Attributes of `owner` that hold the number of channels."""
    width: int
    """Positions along the dimension."""


@dataclass(frozen=True, eq=False)
class ChannelSet:
    """Channels that can be removed one by one, each from all places of the set at once."""

    size: int
    places: list[tuple[Site, Tensor, Tensor]]
    """(site, positions along it, channel 0..size-1 of each position); int64."""


def channel_sets(model: nn.Module, *inputs: Any, **named: Any) -> list[ChannelSet]:
    """Return every set of channels that can be removed from `model`.

    `model(*inputs, **named)` runs once to trace its layers. A set is left out where it reaches the
    model's outputs, a grouped convolution (other than a depthwise one), a transposed convolution,
    a weight that two layers share, a layer other than Linear, convolution, BatchNorm, LayerNorm
    and parameters of the model's own, or where the trace does not fit its layers. Modes, hooks and
    `requires_grad` end as they were.

    Raises `UsageError` where Torch-Pruning is not installed, and `CellError` for a model that it
    cannot trace.
    """
    pruning = _torch_pruning()
    with _traceable(model):
        try:
            graph = pruning.DependencyGraph().build_dependency(
                model, inputs, forward_fn=lambda now, given: now(*given, **named), verbose=False
            )
            shared = _shared(model)
            sites: dict[tuple[int, bool], Site | None] = {}
            sets = [_channel_set(graph, group, sites, shared) for group in graph.get_all_groups()]
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise CellError(
                f"prune-channels: Torch-Pruning cannot trace this model: {first_line(error)}"
            ) from error
    return [found for found in sets if found is not None and found.size > 1 and _fits(found)]


def _fits(channels: ChannelSet) -> bool:
    """Return whether every position is within its layer: heads of an attention may be mistraced."""
    return all(int(positions.max()) < site.width for site, positions, _ in channels.places)


def first_line(error: Exception) -> str:
    """Return the first line of the error's message, or its type where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _torch_pruning() -> Any:
    try:
        return importlib.import_module("torch_pruning")
    except ImportError as error:
        raise UsageError(
            "prune-channels needs Torch-Pruning; install it with: pip install torch-pruning"
        ) from error


@contextmanager
def _traceable(model: nn.Module) -> Iterator[None]:
    """Put the model into eval mode with a gradient for every parameter, as autograd's graph needs.

    Afterwards modes and `requires_grad` are as before, and hooks that a failed trace left are gone.
    """
    modes = [(module, module.training) for module in model.modules()]
    hooks = [(module, set(module._forward_hooks)) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in flags:
            parameter.requires_grad_(parameter.is_floating_point())
        model.eval()
        with torch.enable_grad():
            yield
    finally:
        for parameter, required in flags:
            parameter.requires_grad_(required)
        for module, known in hooks:
            for key in set(module._forward_hooks) - known:
                del module._forward_hooks[key]
        for module, training in modes:
            module.training = training


def _shared(model: nn.Module) -> set[int]:
    """Return the ids of parameters that more than one module has."""
    users = Counter(
        id(parameter)
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
    )
    return {key for key, count in users.items() if count > 1}


def _channel_set(
    graph: Any, group: Any, sites: dict[tuple[int, bool], Site | None], shared: set[int]
) -> ChannelSet | None:
    """Return the set of one group of the graph, or None for a group that must be left alone."""
    places = []
    for item in group:
        node, outputs = item.dep.target, graph.is_out_channel_pruning_fn(item.dep.handler)
        if outputs and not node.outputs:
            return None  # the model's own outputs
        if not _has_tensors(node.module):
            continue  # an operation, of any width
        key = id(node.module), outputs
        if key not in sites:
            sites[key] = _site(graph, node, outputs)
        site = sites[key]
        if site is None or None in item.root_idxs or _uses(site, shared):
            return None
        places.append((site, torch.tensor(item.idxs), torch.tensor(item.root_idxs)))
    size = len(group[0].idxs)
    return ChannelSet(size, places)


def _has_tensors(module: nn.Module | nn.Parameter) -> bool:
    return isinstance(module, (nn.Parameter, *_BATCH_NORMS)) or any(
        True for _ in module.parameters(recurse=False)
    )


def _uses(site: Site, shared: set[int]) -> bool:
    return any(id(getattr(site.owner, name)) in shared for name in site.tensors)


def _site(graph: Any, node: Any, outputs: bool) -> Site | None:
    """Return the site of a node of the graph, or None for a layer that cannot be cut."""
    layer = node.module
    if isinstance(layer, nn.Parameter):
        path, _, name = graph._param_to_name[layer].rpartition(".")
        owner = graph.model.get_submodule(path)
        return Site(owner, {name: node.pruning_dim}, (), layer.shape[node.pruning_dim])
    found = _layer_site(layer, outputs)
    if found is None:
        return None
    tensors, sizes = found
    present = {name: dim for name, dim in tensors.items() if getattr(layer, name) is not None}
    size = getattr(layer, sizes[0])
    return Site(layer, present, sizes, size[0] if isinstance(size, tuple) else size)


def _layer_site(layer: nn.Module, outputs: bool) -> tuple[dict[str, int], tuple[str, ...]] | None:
    """Return tensor name -> channel dimension, and the attributes that hold the count."""
    per_channel = {"weight": 0, "bias": 0}
    if isinstance(layer, nn.Linear):
        return (per_channel, ("out_features",)) if outputs else ({"weight": 1}, ("in_features",))
    if isinstance(layer, _CONVOLUTIONS) and layer.groups == 1:
        return (per_channel, ("out_channels",)) if outputs else ({"weight": 1}, ("in_channels",))
    if isinstance(layer, _CONVOLUTIONS) and layer.groups == layer.in_channels == layer.out_channels:
        return per_channel, ("out_channels", "in_channels", "groups")
    if isinstance(layer, _BATCH_NORMS):
        return {**per_channel, "running_mean": 0, "running_var": 0}, ("num_features",)
    if isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == 1:
        return per_channel, ("normalized_shape",)
    return None
