"""Low-rank factorization: replace a layer by two thinner ones, by truncated SVD.

Linear layers are split as in E. Denton et al., "Exploiting Linear Structure Within Convolutional
Networks for Efficient Evaluation" (arXiv 1404.0736). A k x k convolution becomes a k x k one with
r filters and a 1 x 1 one, as in X. Zhang et al., "Accelerating Very Deep Convolutional Networks for
Classification and Detection" (arXiv 1505.06798, section 3.1), where the energy kept also decides
the ranks of the whole network.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from energybench.compression.base import STRUCTURE, Score
from energybench.compression.rank_budget import Budget, Spectrum
from energybench.compression.search import strongest
from energybench.compression.svd import factorize, relative_error, split
from energybench.compression.weights import parameter_count, require_weights, shared_names
from energybench.records.record import CompressionReport

EVALUATIONS = 8
"""Seven of bisection over 1..99 %, and a neighbour."""
_CONV_SETTINGS = ("kernel_size", "stride", "padding", "dilation", "padding_mode", "groups")

Layer = nn.Linear | nn.Conv2d


def low_rank_layer(layer: Layer, basis: Tensor) -> nn.Sequential:
    """Return `layer` (out, in) as `down`, into r channels per group, and `up`, to its outputs.

    `basis` is (groups, min(out, in), r): out and in are those of one group, and a convolution's in
    is its input channels times the kernel's height and width. Device, dtype, mode, stride, padding
    and `requires_grad` are the layer's; `up` has its bias, the same parameter.
    """
    weight = layer.weight.detach()
    up_matrices, down_matrices = split(as_matrices(layer), basis)
    groups, _, rank = basis.shape
    down: Layer
    up: Layer
    if isinstance(layer, nn.Conv2d):
        same = {key: getattr(layer, key) for key in _CONV_SETTINGS}
        inner, outer = groups * rank, layer.out_channels
        down = nn.Conv2d(layer.in_channels, inner, bias=False, device="meta", **same)
        up = nn.Conv2d(inner, outer, 1, groups=groups, bias=False, device="meta")
    else:
        down = nn.Linear(layer.in_features, rank, bias=False, device="meta")
        up = nn.Linear(rank, layer.out_features, bias=False, device="meta")
    for part, matrices in ((down, down_matrices), (up, up_matrices)):
        values = matrices.reshape(part.weight.shape).to(weight.dtype).contiguous()
        part.weight = nn.Parameter(values, requires_grad=layer.weight.requires_grad)
    up.bias = layer.bias
    pair = nn.Sequential()
    pair.add_module("down", down)
    pair.add_module("up", up)
    return pair.train(layer.training)


class LowRank:
    """Saves the largest share of the parameters within the tolerance, with the least loss.

    All layers share one budget (`Budget`). Covered are Linear layers and 2-d convolutions; of a
    grouped convolution each group by itself. Not covered are subclasses of them (their owners may
    use the weight directly), layers whose weight another layer shares (such as a head that is tied
    to an embedding), and layers that no rank makes smaller, such as depthwise convolutions.
    """

    name = "lowrank"
    stage = STRUCTURE
    trains_freely = True

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Factorize at the largest budget within `tolerance`, in whole percents of parameters.

        The report has {"budget": share, "layers": how many}, and the relative Frobenius error of
        each factorized layer, measured on the final factors; the compression rate is the share of
        all parameters saved. During the search, memory holds the original layers and the singular
        vectors (a tenth of the size of most layers, half of that of a square one) beside the
        smaller model. Raises `CellError` for a model without such layers, or with one that is not
        finite.
        """
        layers = _layers(model)
        own = {f"{name}.weight" for _, names in layers for name in names}
        shared = [names for names in shared_names(model).values() if own.isdisjoint(names)]
        require_weights(self.name, {f"{names[0]}.weight": layer.weight for layer, names in layers})
        before = parameter_count(model)
        plans = [_Plan.of(layer, names) for layer, names in layers if largest_rank(layer)]
        trial = _Factorizing(model, plans, before)
        found = strongest(model, score, tolerance, trial.budgets, trial, EVALUATIONS)
        share = found.setting or 0.0
        ranks = trial.ranks(share) if share else []
        report = found.report(
            self.name,
            {"budget": share, "layers": len(ranks)},
            1.0 - parameter_count(model) / before,
        )
        errors = {plan.names[0]: _error(model, plan) for plan, _ in ranks}
        notes = [] if plans else ["no rank of any layer has fewer parameters than the layer"]
        notes += [f"{' and '.join(n)} are one parameter, left as it is" for n in shared]
        return replace(report, error=errors, notes=[*report.notes, *notes])

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing: the structure stays."""

    def finalize(self, model: nn.Module) -> None:
        """Change nothing: the structure stays."""


@dataclass(frozen=True)
class _Plan:
    """One layer, all its names in the model, and its factorization."""

    layer: Layer
    names: list[str]
    basis: Tensor
    spectrum: Spectrum

    @classmethod
    def of(cls, layer: Layer, names: list[str]) -> "_Plan":
        matrices = as_matrices(layer)
        factorization = factorize(matrices, keep=largest_rank(layer))
        groups, rows, columns = matrices.shape
        dense, per_rank = matrices.numel(), groups * (rows + columns)
        spectrum = Spectrum(factorization.energies, dense, per_rank)
        return cls(layer, names, factorization.basis, spectrum)


def _error(model: nn.Module, plan: _Plan) -> float:
    """Return the relative Frobenius error of the factors that replaced the layer of `plan`."""
    matrices = as_matrices(plan.layer)
    groups, rows, columns = matrices.shape
    up, down = (
        model.get_parameter(f"{plan.names[0]}.{part}.weight").detach().to(matrices.dtype)
        for part in ("up", "down")
    )
    return relative_error(matrices, up.reshape(groups, rows, -1), down.reshape(groups, -1, columns))


class _Factorizing:
    """The trial of a budget."""

    def __init__(self, model: nn.Module, plans: list[_Plan], parameters: int) -> None:
        self._model = model
        self._plans = plans
        self._parameters = parameters
        self._budget = Budget([plan.spectrum for plan in plans])
        shares = [percent / 100 for percent in range(1, 100)]
        self.budgets = [share for share in shares if self._to_save(share) <= self._budget.largest]

    def ranks(self, share: float) -> list[tuple[_Plan, int]]:
        """Return the plans to factorize, with their ranks, to save `share` of the parameters."""
        ranks = self._budget.ranks(self._to_save(share))
        return [(self._plans[index], rank) for index, rank in sorted(ranks.items())]

    def _to_save(self, share: float) -> int:
        return math.ceil(share * self._parameters)

    def apply(self, setting: float) -> None:
        for plan, rank in self.ranks(setting):
            self._place(plan, low_rank_layer(plan.layer, plan.basis[..., :rank]))

    def restore(self) -> None:
        for plan in self._plans:
            self._place(plan, plan.layer)

    def _place(self, plan: _Plan, module: nn.Module) -> None:
        for name in plan.names:
            self._model.set_submodule(name, module)


def largest_rank(layer: Layer) -> int:
    """Return the largest rank whose factors have fewer parameters than `layer`, 0 for none."""
    groups, rows, columns = _matrix_shape(layer)
    return (rows * columns - 1) // (rows + columns) if groups * rows * columns else 0


def _layers(model: nn.Module) -> list[tuple[Layer, list[str]]]:
    """Return every layer that can be factorized, with all its qualified names."""
    users = Counter(
        id(parameter)
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
    )
    names: dict[Layer, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        plain = type(module) is nn.Linear or type(module) is nn.Conv2d
        if name and plain and users[id(module.weight)] == 1:
            names.setdefault(module, []).append(name)
    return list(names.items())


def as_matrices(layer: Layer) -> Tensor:
    """Return the weight as (groups, out, in), with in times kernel height and width.

    out and in are those of one group; the dtype is at least float32.
    """
    matrices = layer.weight.detach().reshape(_matrix_shape(layer))
    return matrices.to(torch.promote_types(matrices.dtype, torch.float32))


def _matrix_shape(layer: Layer) -> tuple[int, int, int]:
    """Return the number of groups, and a group's outputs and inputs, as in `as_matrices`."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    shape = layer.weight.shape
    return groups, shape[0] // groups, math.prod(shape[1:])
