"""What a compression is: the protocol, and the method that does nothing."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from energybench.records.record import CompressionReport

Score = Callable[[nn.Module], float]
"""Validation accuracy of a model, 0..1. Leaves the model as it was, in eval mode or not."""

STRUCTURE, MASK, BITS = 0, 1, 2
"""Stages, in the order in which a composition applies them."""


class Compression(Protocol):
    """One way to make a model smaller, and to keep it so while it is trained."""

    name: str
    stage: int

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Apply, in place, the strongest setting whose drop in `score` is within `tolerance`.

        `tolerance` is in percentage points, against `score(model)` before compressing. When no
        setting is within it the model stays as it was and the report says `no_effect`.
        """
        ...

    def after_step(self, model: nn.Module) -> None:
        """Hold the constraint after an optimizer step, in place."""
        ...

    def finalize(self, model: nn.Module) -> None:
        """Make the trained weights satisfy the constraint exactly, in place."""
        ...


@runtime_checkable
class HasPrecisions(Protocol):
    """What a `Compression` has beside the above if it bears on the arithmetic of training.

    Both members together are optional; `precisions_of` and `required_precision` read them.
    """

    required_precision: str | None
    """The one arithmetic that must be used, whatever it costs; None if it is free to choose."""

    def precisions(self) -> tuple[str, ...]:
        """Arithmetics ("bf16", "tf32") that hold every bit `compress` left, narrowest first.

        Each of them is narrower than fp32 and may be used instead of it, the cheapest wins; () for
        none. Called after `compress`.
        """
        ...


@runtime_checkable
class HasTrainingState(Protocol):
    """What a `Compression` has beside the above if `after_step` goes by what it remembers."""

    def training_state(self) -> dict[str, Tensor]:
        """By name, what `compress` or the steps so far have left to remember; not copied."""
        ...

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on with a `training_state` of the same method, found by the same `compress`."""
        ...


def precisions_of(compression: Compression) -> tuple[str, ...]:
    """Arithmetics narrower than fp32 that hold the compressed weights exactly."""
    return compression.precisions() if isinstance(compression, HasPrecisions) else ()


def required_precision(compression: Compression) -> str | None:
    """The arithmetic that `compression` must be trained in, if it stands for one."""
    return compression.required_precision if isinstance(compression, HasPrecisions) else None


class Baseline:
    """The uncompressed model: the reference of every comparison."""

    name = "baseline"
    stage = STRUCTURE

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Change nothing and search nothing."""
        return CompressionReport(
            method=self.name, settings={}, compression_rate=0.0, reference_score=None, score=None
        )

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing."""

    def finalize(self, model: nn.Module) -> None:
        """Change nothing."""
