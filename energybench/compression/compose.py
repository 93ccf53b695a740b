"""Methods by name, alone or composed: "prune", "lowrank+prune+stego"."""

from collections.abc import Mapping, Sequence
from math import prod

from torch import Tensor, nn

from energybench.compression.base import (
    Compression,
    HasTrainingState,
    Score,
    precisions_of,
    required_precision,
)
from energybench.records.record import CompressionReport
from energybench.registry import METHODS, method_parts


def build(method: str) -> Compression:
    """The compression that `method` names: one registered method, or several joined by "+".

    Of one stage, the method registered first comes first: channels go before what is left of a
    layer is factorized. Raises `UsageError` for an unknown method, one named twice, or `baseline`
    in a composition.
    """
    names = sorted(method_parts(method), key=METHODS.names().index)
    parts: list[Compression] = [METHODS.get(name)() for name in names]
    if len(parts) == 1:
        return parts[0]
    return Composition(sorted(parts, key=lambda part: part.stage))


class Composition:
    """Several compressions of one model, given and named in the order of their stages.

    They are applied in that order (structure, masks, bits) and held in the reverse of it:
    the last word is the mask's, because a zero has all its low bits clear, whereas nothing
    about bits keeps a zero at zero.
    """

    def __init__(self, parts: Sequence[Compression]) -> None:
        self.name = "+".join(part.name for part in parts)
        self.stage = parts[0].stage
        self._parts = tuple(parts)
        required = [required_precision(part) for part in parts]
        self.required_precision = next((name for name in required if name is not None), None)

    def precisions(self) -> tuple[str, ...]:
        """What the last part that names any says: the parts after it leave its bits clear."""
        named = [precisions_of(part) for part in self._parts]
        return next((names for names in reversed(named) if names), ())

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Apply each part in turn, within what the parts before it have left of `tolerance`.

        A part that raised the score lends nothing to the next: none may lose more than
        `tolerance`. The report's settings are the parts', by `prune.fraction` and the like; its
        compression rate is 1 - product of (1 - rate).
        """
        reports: list[CompressionReport] = []
        for part in self._parts:
            left = tolerance - max(0.0, _drop_pp(reports))
            least = min(tolerance, 0.0)  # a negative tolerance stays: nothing is within it
            reports.append(part.compress(model, score, max(least, left)))
        scores = _scores(reports)
        return CompressionReport(
            method=self.name,
            settings={
                f"{report.method}.{key}": value
                for report in reports
                for key, value in report.settings.items()
            },
            compression_rate=1.0 - prod(1.0 - report.compression_rate for report in reports),
            reference_score=scores[0] if scores else None,
            score=scores[-1] if scores else None,
            no_effect=all(report.no_effect for report in reports),
            parts=reports,
        )

    def training_state(self) -> dict[str, Tensor]:
        """What the parts remember, behind their names."""
        return {
            f"{part.name}/{key}": value
            for part in self._parts
            if isinstance(part, HasTrainingState)
            for key, value in part.training_state().items()
        }

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Give each part what is behind its name."""
        for part in self._parts:
            if isinstance(part, HasTrainingState):
                start = f"{part.name}/"
                own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
                part.load_training_state(own)

    def after_step(self, model: nn.Module) -> None:
        """Hold every part's constraint after an optimizer step, in place."""
        for part in reversed(self._parts):
            part.after_step(model)

    def finalize(self, model: nn.Module) -> None:
        """Make the trained weights satisfy every part's constraint exactly, in place."""
        for part in reversed(self._parts):
            part.finalize(model)


def _scores(reports: list[CompressionReport]) -> list[float]:
    """The score before the first part and after each; parts that measured none are left out."""
    measured = [(report.reference_score, report.score) for report in reports]
    known = [(before, after) for before, after in measured if before is not None]
    return [known[0][0], *(after for _, after in known if after is not None)] if known else []


def _drop_pp(reports: list[CompressionReport]) -> float:
    """Percentage points lost so far; negative for a gain."""
    scores = _scores(reports)
    return 100.0 * (scores[0] - scores[-1]) if scores else 0.0
