"""The protocol of a compression method, the score it searches by, and the method `baseline`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from energybench.records.metric import Metric
from energybench.records.record import CompressionReport

STRUCTURE, MASK, BITS, TRAINED = 0, 1, 2, 3
"""Stages, in the order in which a composition applies them; the last chooses what is trained."""


@dataclass(frozen=True)
class Judged:
    """A model's value on validation data, and the items behind it."""

    value: float
    right: Tensor | None = None
    """(items,) bool, in the same order for every model: whether each answer is right; None where
    that is not known."""


@dataclass(frozen=True)
class Score:
    """Measures a model on validation data: `score(model)` is a value of `score.metric`.

    The metric says whether a higher or a lower value is better, and in which unit a drop is, for
    instance `Score(perplexity, Metric("perplexity", higher_is_better=False, unit="", scale=1.0))`.
    Raises `TypeError` for a metric of another type.
    """

    measure: Callable[[nn.Module], float | Judged]
    """Must leave the model's weights, and its training or evaluation mode, as they are.

    Where it returns `Judged` items, a search says how far its setting depends on them."""
    metric: Metric

    def __post_init__(self) -> None:
        if not isinstance(self.metric, Metric):
            raise TypeError(f"the metric of a score must be a Metric(...), not {self.metric!r}")

    def __call__(self, model: nn.Module) -> float:
        """Measure `model`."""
        return self.judge(model).value

    def judge(self, model: nn.Module) -> Judged:
        """Measure `model`, and say which items it has right if that is known."""
        found = self.measure(model)
        return found if isinstance(found, Judged) else Judged(float(found))


def require_score(score: Score) -> None:
    """Raise `TypeError` for a bare function: a search could not tell which values are better."""
    if not isinstance(score, Score):
        name = getattr(score, "__name__", type(score).__name__)
        raise TypeError(
            f"{name} has no metric, which says whether higher is better; wrap it: "
            "Score(function, Metric(name, higher_is_better, unit, scale))"
        )


class Compression(Protocol):
    """Makes a model smaller, and keeps it so while it is trained."""

    name: str
    stage: int

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Apply, in place, the strongest setting whose drop in `score` is within `tolerance`.

        The drop is from `score(model)` before compressing, by `score.metric`. `tolerance` is in
        the metric's unit, for accuracy in percentage points. Where no setting is within it, the
        model stays bit for bit as it was and the report says `no_effect`. Raises `TypeError` for
        a score without a metric, and `CellError` for a model that the method cannot compress.
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
    """Optional members of a `Compression` that bear on the arithmetic of training.

    A compression has both or neither; `precisions_of` and `required_precision` read them.
    """

    required_precision: str | None
    """The one arithmetic that training must use, whatever its cost; None for a free choice."""

    def precisions(self) -> tuple[str, ...]:
        """Return the arithmetics that hold every bit `compress` left, narrowest first.

        For instance ("bf16", "tf32"). Each is narrower than fp32, and training uses the cheapest
        of them and fp32; () for none. Called after `compress`.
        """
        ...


@runtime_checkable
class HasTrainingState(Protocol):
    """Optional members of a `Compression` whose `after_step` keeps tensors between steps."""

    def training_state(self) -> dict[str, Tensor]:
        """Return the tensors that `after_step` keeps, by name, for a checkpoint; no copies."""
        ...

    def load_training_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `training_state` of the same method after the same `compress`."""
        ...


@runtime_checkable
class HasAftermath(Protocol):
    """Optional member of a `Compression` whose constraint training may undo."""

    def after_training(self, model: nn.Module) -> list[str]:
        """Say in notes for the report what training left of the compression of `model`."""
        ...


def trains_freely(compression: Compression) -> bool:
    """Return whether the optional member `trains_freely` of `compression` says so.

    Then `after_step` does nothing, and training may divide the weights among ranks. A subclass
    with an `after_step` of its own says so anew.
    """
    for kind in type(compression).__mro__:
        if "trains_freely" in vars(kind):
            return bool(getattr(compression, "trains_freely"))  # noqa: B009 - no member of all
        if "after_step" in vars(kind):
            break
    return False


def notes_after_training(compression: Compression, model: nn.Module) -> list[str]:
    """Return what `compression` says of the trained `model`; [] for one that holds what it did."""
    return compression.after_training(model) if isinstance(compression, HasAftermath) else []


def precisions_of(compression: Compression) -> tuple[str, ...]:
    """Return the arithmetics narrower than fp32 that hold the compressed weights exactly."""
    return compression.precisions() if isinstance(compression, HasPrecisions) else ()


def required_precision(compression: Compression) -> str | None:
    """Return the arithmetic that `compression` must be trained in, or None."""
    return compression.required_precision if isinstance(compression, HasPrecisions) else None


class Baseline:
    """Leaves the model uncompressed: the reference of every comparison."""

    name = "baseline"
    stage = STRUCTURE
    trains_freely = True

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        """Change nothing and measure nothing; the report has no scores."""
        require_score(score)
        return CompressionReport(
            method=self.name, settings={}, compression_rate=0.0, reference_score=None, score=None
        )

    def after_step(self, model: nn.Module) -> None:
        """Hold nothing."""

    def finalize(self, model: nn.Module) -> None:
        """Change nothing."""
