"""Structured pruning: remove whole channels; a smaller dense network is left.

A channel is a convolution's filter, the normalization behind it, and the inputs of every layer that
reads it, across residual sums and concatenations. Torch-Pruning finds these slices: G. Fang et al.,
"DepGraph: Towards Any Structural Pruning" (arXiv 2301.12900).

Channels are removed by magnitude, in one ranking over all sets. A channel's price is the energy
lost with it per parameter saved. Its energy is the share of the squared L2 norm that it has in each
layer that writes or reads it. Plain norms, even relative to the mean of their set, would rank
layers by their initialization and remove the channels of narrow layers first.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from energybench.compression.base import STRUCTURE, Judged, Score
from energybench.compression.dependencies import ChannelSet, Site, channel_sets, first_line
from energybench.compression.search import apply, boundary, measure
from energybench.compression.weights import (
    covered_weights,
    parameter_count,
    require_weights,
    shared_names,
)
from energybench.errors import CellError
from energybench.records.record import CompressionReport

EVALUATIONS = 8
"""Seven of bisection over 1..99 %, and a neighbour."""


class PruneChannels:
    """Removes the largest fraction of channels within the tolerance, the cheapest first.

    The inputs and outputs of the model stay as they are, and so do one channel of every set, the
    channels that `channel_sets` leaves out, and sets whose width the model's code fixes (such as
    the heads of an attention). An ordinary dense network is left.
    """

    name = "prune-channels"
    stage = STRUCTURE
    trains_freely = True

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Remove the largest fraction of channels within `tolerance`, in whole percents.

        The report has {"fraction": share of all removable channels, "channels": how many}; the
        compression rate is the share of all parameters saved. `score` must call the model: the
        first item of its first call is the example that is traced, so every tensor in the call
        must have the batch as its first dimension. During the search, memory holds the original
        layers beside the smaller model.

        Raises `CellError` for a model without covered weights, with one that is not finite, that
        Torch-Pruning cannot trace, or whose code fixes all its widths, and `UsageError` where
        Torch-Pruning is not installed. The model is then as it was.
        """
        require_weights(self.name, covered_weights(model))
        before, shared = parameter_count(model), shared_names(model)
        reference, example = _score_and_example(model, score)
        sets = channel_sets(model, *example.inputs, **example.named)
        notes = [] if sets else ["no channels can be removed: they are outputs or have groups"]
        free = _free(model, sets, example)
        if len(free) < len(sets):
            notes.append(
                f"{len(sets) - len(free)} of {len(sets)} sets of channels stay: "
                "the model's code fixes their widths"
            )
        trial = _Removing(free)
        notes += [f"{' and '.join(n)} are one parameter, left as it is" for n in shared.values()]
        fractions = list(trial.counts)
        found = boundary(
            model, score, tolerance, fractions, trial, EVALUATIONS, reference=reference
        )
        if found.setting is not None:
            apply(trial, found.setting)
        fraction = found.setting or 0.0
        count = trial.counts.get(fraction, 0)
        rate = 1.0 - parameter_count(model) / before
        return found.report(self.name, {"fraction": fraction, "channels": count}, rate, notes)

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing: the structure stays."""

    def finalize(self, model: nn.Module) -> None:
        """Change nothing: the structure stays."""


@dataclass(frozen=True)
class _Example:
    """The arguments of one call of the model, for one item."""

    inputs: tuple[Any, ...]
    named: dict[str, Any]


def _score_and_example(model: nn.Module, score: Score) -> tuple[Judged, _Example]:
    """Return the score of `model`, and the first item that it is called on."""
    examples: list[tuple[Any, Any]] = []

    def see(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if not examples:
            examples.append(tree_map_only(Tensor, _first_item, (inputs, named)))

    hook = model.register_forward_pre_hook(see, with_kwargs=True)
    try:
        reference = measure(model, score)
    finally:
        hook.remove()
    if not examples:
        raise CellError("prune-channels: the score ran no data through the model")
    # cloned again here, outside of inference mode: autograd takes no tensors made in it
    return reference, _Example(*tree_map_only(Tensor, Tensor.clone, examples[0]))


def _first_item(tensor: Tensor) -> Tensor:
    return (tensor[:1] if tensor.dim() else tensor).detach().clone()


def _free(model: nn.Module, sets: list[ChannelSet], example: _Example) -> list[ChannelSet]:
    """Return the sets whose widths the model's code leaves free.

    Raises `CellError` where there are sets and none is free.
    """
    if not sets or _Removing(sets).failure(model, example) is None:
        return sets
    failures = [_Removing([group]).failure(model, example) for group in sets]
    free = [group for group, failure in zip(sets, failures, strict=True) if failure is None]
    together = _Removing(free).failure(model, example) if free else failures[0]
    if together is not None:
        raise CellError(f"prune-channels: the model's code fixes its widths: {together}")
    return free


class _Removing:
    """The trial of a fraction of the channels of `sets`."""

    def __init__(self, sets: list[ChannelSet]) -> None:
        self._sets = sets
        self._sites = list(dict.fromkeys(site for group in sets for site, _, _ in group.places))
        self._tensors = [
            (site.owner, name, getattr(site.owner, name))
            for site in self._sites
            for name in site.tensors
        ]
        self._sizes = [
            (site.owner, name, getattr(site.owner, name))
            for site in self._sites
            for name in site.sizes
        ]
        self._ascending = _cheapest(sets)
        total = sum(group.size for group in sets)
        counts = {round(percent / 100 * total): percent / 100 for percent in range(1, 100)}
        self.counts = {
            fraction: count
            for count, fraction in counts.items()
            if 0 < count <= len(self._ascending)
        }
        """Fraction of all channels -> number of channels; the smallest first."""

    def apply(self, setting: float) -> None:
        gone = torch.zeros(sum(group.size for group in self._sets), dtype=torch.bool)
        gone[self._ascending[: self.counts[setting]]] = True
        self._remove(list(gone.split([group.size for group in self._sets])))

    @torch.no_grad()
    def _remove(self, gone: list[Tensor]) -> None:
        """Remove the channels that the bool mask of each set, (size,), is true for."""
        kept = {site: torch.ones(site.width, dtype=torch.bool) for site in self._sites}
        for group, mask in zip(self._sets, gone, strict=True):
            for site, positions, channels in group.places:
                kept[site][positions[mask[channels]]] = False
        for site, mask in kept.items():
            if not mask.all():
                _cut(site, mask.nonzero().flatten())

    def restore(self) -> None:
        for owner, name, value in [*self._tensors, *self._sizes]:
            setattr(owner, name, value)

    def failure(self, model: nn.Module, example: _Example) -> str | None:
        """Run `model` without one channel of each set, and with only one; return what fails.

        None if both run. A width that must be divisible, say by a number of heads, fails one.
        """
        modes = [(module, module.training) for module in model.modules()]
        firsts = [torch.arange(group.size) == 0 for group in self._sets]
        try:
            for gone in (firsts, [~first for first in firsts]):
                self._remove(gone)
                with torch.no_grad():
                    model.eval()(*example.inputs, **example.named)
                self.restore()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            return first_line(error)
        finally:
            self.restore()
            for module, training in modes:
                module.training = training
        return None


def _cut(site: Site, kept: Tensor) -> None:
    """Keep only the positions `kept`, int64, along `site`."""
    for name, dim in site.tensors.items():
        tensor = getattr(site.owner, name)
        part = tensor.detach().index_select(dim, kept.to(tensor.device))
        if isinstance(tensor, nn.Parameter):
            part = nn.Parameter(part, requires_grad=tensor.requires_grad)
        setattr(site.owner, name, part)
    for name in site.sizes:
        plural = isinstance(getattr(site.owner, name), tuple)
        setattr(site.owner, name, (len(kept),) if plural else len(kept))


def _cheapest(sets: list[ChannelSet]) -> Tensor:
    """Return the indices of channels, counted through all sets, by ascending price.

    Channels of one price come in their order. The channel with the highest price of each set is
    left out, so that every set keeps one.
    """
    shares: dict[Site, Tensor] = {}
    ranked = [torch.zeros(0, dtype=torch.float64)]
    for group in sets:
        lost = torch.zeros(group.size, dtype=torch.float64)
        saved = torch.zeros(group.size, dtype=torch.float64)
        for site, positions, channels in group.places:
            if site not in shares:
                shares[site] = _energy_shares(site)
            each = torch.full((len(positions),), float(_parameters(site)), dtype=torch.float64)
            lost.index_add_(0, channels, shares[site][positions])
            saved.index_add_(0, channels, each)
        price = lost / saved
        price[price.argmax()] = torch.inf
        ranked.append(price)
    order = torch.cat(ranked).argsort(stable=True)
    return order[: len(order) - len(sets)]


def _parameters(site: Site) -> int:
    """Return the number of parameters at each position of `site`."""
    tensors = [getattr(site.owner, name) for name in site.tensors]
    whole = sum(tensor.numel() for tensor in tensors if isinstance(tensor, nn.Parameter))
    return whole // site.width


def _energy_shares(site: Site) -> Tensor:
    """Return (width,) float64: each position's share of the squared norm of the weight.

    It is zero for layers other than Linear and convolutions: the scale of a normalization shows in
    the weights that read its outputs.
    """
    shares = torch.zeros(site.width, dtype=torch.float64)
    if isinstance(site.owner, nn.Linear | nn.modules.conv._ConvNd):
        weight, dim = site.owner.weight.detach(), site.tensors["weight"]
        others = [axis for axis in range(weight.dim()) if axis != dim]
        shares += torch.linalg.vector_norm(weight, dim=others).double().cpu().square()
        shares /= shares.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return shares
