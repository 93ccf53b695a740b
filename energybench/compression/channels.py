"""Structured pruning: whole channels go, and the network that is left is dense and smaller.

Which slices of which layers go together (a convolution's filter, the normalization behind it, the
inputs of all that reads it, across residual sums and concatenations) is Torch-Pruning's to find:
G. Fang et al., "DepGraph: Towards Any Structural Pruning" (arXiv 2301.12900). Channels go by
magnitude, in one ranking over all sets. A channel's price is the energy lost with it, for each
parameter saved: of every layer that writes or reads it, the share of the squared L2 norm. Plain
norms, even over their set's mean, would rank layers by how they were initialized and take the
narrow ones apart first.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from energybench.compression.base import STRUCTURE, Score
from energybench.compression.dependencies import ChannelSet, Site, channel_sets
from energybench.compression.search import apply, boundary, measure
from energybench.compression.weights import covered_weights, parameter_count, require_weights
from energybench.errors import CellError
from energybench.records.record import CompressionReport

EVALUATIONS = 8
"""Seven of bisection over 1..99 %, and a neighbour."""


class PruneChannels:
    """Removes the largest fraction of channels within the tolerance, the cheapest first.

    The classifier's outputs and the images' channels stay, one channel of every set, and those
    that `channel_sets` leaves out. What is left is an ordinary dense network.
    """

    name = "prune-channels"
    stage = STRUCTURE

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Remove the largest fraction of channels within `tolerance`, in whole percents.

        The report has {"fraction": share of all removable channels, "channels": how many}; the
        compression rate is the share of all parameters saved. `score` must run the model on
        images: their shape is seen there. During the search, memory holds the original layers
        beside a model that is smaller than those. Raises `CellError` for a model without
        covered weights, with one not finite or whose code fixes its widths, and `UsageError` where
        Torch-Pruning is not installed.
        """
        require_weights(self.name, covered_weights(model))
        before = parameter_count(model)
        reference, example = _score_and_example(model, score)
        sets = channel_sets(model, example)
        trial = _Removing(sets)
        if trial.counts:
            trial.check(model, example)
        fractions = list(trial.counts)
        found = boundary(
            model, score, tolerance, fractions, trial, EVALUATIONS, reference=reference
        )
        if found.setting is not None:
            apply(trial, found.setting)
        fraction = found.setting or 0.0
        count = trial.counts.get(fraction, 0)
        rate = 1.0 - parameter_count(model) / before
        report = found.report(self.name, {"fraction": fraction, "channels": count}, rate)
        notes = [] if sets else ["no channels can be removed: they are outputs or have groups"]
        return replace(report, notes=[*report.notes, *notes])

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing: the structure stays."""

    def finalize(self, model: nn.Module) -> None:
        """Change nothing: the structure stays."""


def _score_and_example(model: nn.Module, score: Score) -> tuple[float, Tensor]:
    """The score of `model`, and a blank image like those that it ran `model` on."""
    examples: list[Tensor] = []

    def see(module: nn.Module, inputs: tuple[object, ...]) -> None:
        if not examples and inputs and isinstance(inputs[0], Tensor):
            examples.append(torch.zeros_like(inputs[0][:1]))

    hook = model.register_forward_pre_hook(see)
    try:
        reference = measure(model, score)
    finally:
        hook.remove()
    if not examples:
        raise CellError("prune-channels: the score ran no images through the model")
    return reference, examples[0].clone()  # an ordinary tensor, also from inference mode


class _Removing:
    """The trial of a fraction of the channels."""

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
        """Fraction of all channels -> how many that is; weakest first."""

    @torch.no_grad()
    def apply(self, setting: float) -> None:
        sizes = [group.size for group in self._sets]
        removed = torch.zeros(sum(sizes), dtype=torch.bool)
        removed[self._ascending[: self.counts[setting]]] = True
        kept = {site: torch.ones(site.width, dtype=torch.bool) for site in self._sites}
        for group, gone in zip(self._sets, removed.split(sizes), strict=True):
            for site, positions, channels in group.places:
                kept[site][positions[gone[channels]]] = False
        for site, mask in kept.items():
            if not mask.all():
                _cut(site, mask.nonzero().flatten())

    def restore(self) -> None:
        for owner, name, value in [*self._tensors, *self._sizes]:
            setattr(owner, name, value)

    def check(self, model: nn.Module, example: Tensor) -> None:
        """Raise `CellError` unless `model` still runs without channels."""
        modes = [(module, module.training) for module in model.modules()]
        try:
            self.apply(max(self.counts))
            with torch.no_grad():
                model.eval()(example)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise CellError(
                f"prune-channels: the model's code fixes its widths: {first}"
            ) from error
        finally:
            self.restore()
            for module, training in modes:
                module.training = training


def _cut(site: Site, kept: Tensor) -> None:
    """Keep only the positions `kept` along `site`."""
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
    """Numbers of channels, counted through all sets, lowest price first; one of each is spared.

    Of channels of one price the first goes first, and the dearest of each set is spared.
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
    """Parameters at each position of `site`."""
    tensors = [getattr(site.owner, name) for name in site.tensors]
    whole = sum(tensor.numel() for tensor in tensors if isinstance(tensor, nn.Parameter))
    return whole // site.width


def _energy_shares(site: Site) -> Tensor:
    """(width,) float64: each position's share of the squared norm of a Linear or convolution.

    Zeros for normalizations and scales: what they pass on shows in the weights that read it.
    """
    shares = torch.zeros(site.width, dtype=torch.float64)
    if isinstance(site.owner, nn.Linear | nn.modules.conv._ConvNd):
        weight, dim = site.owner.weight.detach(), site.tensors["weight"]
        others = [axis for axis in range(weight.dim()) if axis != dim]
        shares += torch.linalg.vector_norm(weight, dim=others).double().cpu().square()
        shares /= shares.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return shares
