"""Low-rank factorization: a layer becomes two thinner ones, by truncated SVD.

Linear layers as in E. Denton et al., "Exploiting Linear Structure Within Convolutional Networks
for Efficient Evaluation" (arXiv 1404.0736); k x k convolutions into a k x k one with r filters and
a 1 x 1 one as in X. Zhang et al., "Accelerating Very Deep Convolutional Networks for
Classification and Detection" (arXiv 1505.06798, section 3.1).
"""

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from energybench.compression.base import STRUCTURE, Score
from energybench.compression.search import strongest
from energybench.compression.svd import Factorization, factorize, split
from energybench.compression.weights import parameter_count, require_weights
from energybench.record import CompressionReport

SETTINGS = [percent / 100 for percent in range(99, 49, -1)]
"""Retained energies, weakest compression first."""
EVALUATIONS = 7
"""Six of bisection over 50 energies, and a neighbour."""
_CONV_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "padding_mode")

Layer = nn.Linear | nn.Conv2d


def low_rank_layer(layer: Layer, basis: Tensor) -> nn.Sequential:
    """`layer` (out, in) as `down` into r channels and `up` to its outputs, which has the bias.

    `basis` is (min(out, in), r), where a convolution's in counts its kernel. Device, dtype,
    mode, stride, padding and what is trained are the layer's; the bias is the same parameter.
    """
    weight = layer.weight.detach()
    up_matrix, down_matrix = split(_as_matrix(layer), basis)
    rank = basis.shape[1]
    down: Layer
    up: Layer
    if isinstance(layer, nn.Conv2d):
        same = {key: getattr(layer, key) for key in _CONV_SETTINGS}
        down = nn.Conv2d(layer.in_channels, rank, bias=False, device="meta", **same)
        up = nn.Conv2d(rank, layer.out_channels, 1, bias=False, device="meta")
    else:
        down = nn.Linear(layer.in_features, rank, bias=False, device="meta")
        up = nn.Linear(rank, layer.out_features, bias=False, device="meta")
    for part, matrix in ((down, down_matrix), (up, up_matrix)):
        values = matrix.reshape(part.weight.shape).to(weight.dtype).contiguous()
        part.weight = nn.Parameter(values, requires_grad=layer.weight.requires_grad)
    up.bias = layer.bias
    pair = nn.Sequential()
    pair.add_module("down", down)
    pair.add_module("up", up)
    return pair.train(layer.training)


class LowRank:
    """Factorizes every layer for which that saves parameters, at one retained energy for all.

    Covered are Linear layers and ungrouped 2-d convolutions, not subclasses of them (whose
    owners may use the weight directly), and not those whose weight another layer shares.
    """

    name = "lowrank"
    stage = STRUCTURE

    def compress(self, model: nn.Module, score: Score, tolerance_pp: float) -> CompressionReport:
        """Factorize at the smallest retained energy within `tolerance_pp`.

        The report has {"retained_energy": share, "layers": how many}; the compression rate is the
        share of all parameters saved. During the search, memory holds the singular vectors (a
        tenth of most layers' size, half of a square one's) and the original layers, beside a
        model that is smaller than those. Raises `CellError` for a model without such layers, or
        with one not finite.
        """
        layers = _layers(model)
        require_weights(self.name, {f"{names[0]}.weight": layer.weight for layer, names in layers})
        before = parameter_count(model)
        trial = _Factorizing(model, [_Plan.of(layer, names) for layer, names in layers])
        settings = [energy for energy in SETTINGS if trial.ranks(energy)]
        found = strongest(model, score, tolerance_pp, settings, trial, EVALUATIONS)
        energy = found.setting or 1.0
        count = len(trial.ranks(energy)) if found.setting else 0
        rate = 1.0 - parameter_count(model) / before
        return found.report(self.name, {"retained_energy": energy, "layers": count}, rate)

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing: the structure stays."""

    def finalize(self, model: nn.Module) -> None:
        """Change nothing: the structure stays."""


@dataclass(frozen=True)
class _Plan:
    """One layer, everywhere it occurs, and its factorization."""

    layer: Layer
    names: list[str]
    most: int
    """The largest rank that saves parameters."""
    factorization: Factorization

    @classmethod
    def of(cls, layer: Layer, names: list[str]) -> "_Plan":
        matrix = _as_matrix(layer)
        rows, columns = matrix.shape
        most = (rows * columns - 1) // (rows + columns)
        return cls(layer, names, most, factorize(matrix, keep=most))


class _Factorizing:
    """The trial of a retained energy."""

    def __init__(self, model: nn.Module, plans: list[_Plan]) -> None:
        self._model = model
        self._plans = plans

    def ranks(self, energy: float) -> list[tuple[_Plan, int]]:
        """The plans for which `energy` saves parameters, with their ranks."""
        pairs = [(plan, plan.factorization.rank_retaining(energy)) for plan in self._plans]
        return [(plan, rank) for plan, rank in pairs if rank <= plan.most]

    def apply(self, setting: float) -> None:
        for plan, rank in self.ranks(setting):
            pair = low_rank_layer(plan.layer, plan.factorization.basis[:, :rank])
            self._place(plan, pair)

    def restore(self) -> None:
        for plan in self._plans:
            self._place(plan, plan.layer)

    def _place(self, plan: _Plan, module: nn.Module) -> None:
        for name in plan.names:
            self._model.set_submodule(name, module)


def _layers(model: nn.Module) -> list[tuple[Layer, list[str]]]:
    """Every layer that can be factorized, with all its qualified names."""
    users = Counter(
        id(parameter)
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
    )
    names: dict[Layer, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        plain = type(module) is nn.Linear or (type(module) is nn.Conv2d and module.groups == 1)
        if name and plain and users[id(module.weight)] == 1:
            names.setdefault(module, []).append(name)
    return list(names.items())


def _as_matrix(layer: Layer) -> Tensor:
    """(out, in) or (out, in * kernel height * kernel width), at least in float32."""
    matrix = layer.weight.detach().flatten(1)
    return matrix.to(torch.promote_types(matrix.dtype, torch.float32))
