"""Freezing: train the end of a network only, or keep its batch norms as they are.

It is what people do to spend less on fine-tuning, and no compression: the network keeps its size.
Layers before the first one that is trained need no gradient, so their backward pass is saved.
"""

from torch import nn

from energybench.compression.base import TRAINED, Score, require_score
from energybench.compression.batch_norm import freeze_batch_norm
from energybench.compression.weights import covered_weights, shared_names
from energybench.errors import CellError
from energybench.records.record import CompressionReport


class Freeze:
    """Trains the last `layers` Linear and convolution layers, and what comes after their first.

    One layer is the head. Layers count in the order in which the model registers them. A head that
    is tied to an embedding is not counted, and stays: its weight is the network's first layer, too.
    Batch norms of the frozen part keep their running statistics.
    """

    name = "freeze"
    stage = TRAINED
    trains_freely = True

    def __init__(self, layers: int = 1) -> None:
        self._layers = layers

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Freeze all parameters before the last layers; measure nothing.

        The report has {"layers": how many are trained}. Raises `CellError` for a model that has no
        more layers than that.
        """
        require_score(score)
        tied = shared_names(model)
        weights = [weight for name, weight in covered_weights(model).items() if name not in tied]
        if len(weights) <= self._layers:
            raise CellError(
                f"{self.name}: the model has {len(weights)} layers, so training {self._layers} "
                "freezes none; name fewer, as in freeze@1"
            )
        first, trains = weights[-self._layers], False
        fixed = {weight for name, weight in covered_weights(model).items() if name in tied}
        for parameter in model.parameters():
            trains = trains or parameter is first
            parameter.requires_grad_(trains and parameter not in fixed)
        for module in model.modules():
            own = list(module.parameters(recurse=False))
            if not any(one.requires_grad for one in own):
                freeze_batch_norm(module)
        notes = [
            f"{' and '.join(names)} are one parameter, left as it is" for names in tied.values()
        ]
        return _report(self.name, {"layers": self._layers}, notes)

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing: what is frozen gets no update."""

    def finalize(self, model: nn.Module) -> None:
        """Change nothing."""


class FreezeBatchNorm:
    """Keeps every batch norm as pretrained: statistics, scale and shift; trains all else."""

    name = "freeze-bn"
    stage = TRAINED
    trains_freely = True

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Freeze the batch norms; measure nothing. The report has {"layers": how many}.

        Raises `CellError` for a model without a batch norm.
        """
        require_score(score)
        frozen = sum([freeze_batch_norm(module) for module in model.modules()])
        if not frozen:
            raise CellError(f"{self.name}: the model has no batch norm; leave the method out")
        return _report(self.name, {"layers": frozen}, [])

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing: what is frozen gets no update."""

    def finalize(self, model: nn.Module) -> None:
        """Change nothing."""


def _report(
    method: str, settings: dict[str, float | int | str], notes: list[str]
) -> CompressionReport:
    return CompressionReport(
        method=method,
        settings=settings,
        compression_rate=0.0,
        reference_score=None,
        score=None,
        notes=notes,
    )
