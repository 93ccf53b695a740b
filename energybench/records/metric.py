"""How good a model is: a named number, and which way is better."""

from dataclasses import dataclass

ROUNDING = 1e-9
"""Forgiven in comparisons, so that a drop of exactly the tolerance is within it."""


@dataclass(frozen=True)
class Metric:
    """A number that says how good a model is.

    Drops and tolerances are in `unit`: a value times `scale` is in that unit. Accuracy is a
    fraction, its drop is in percentage points: `Metric("accuracy", unit="pp", scale=100.0)`.
    """

    name: str
    higher_is_better: bool = True
    unit: str = "pp"
    """Unit of a drop and of a tolerance."""
    scale: float = 100.0
    """`unit`s per 1.0 of a value."""

    def drop(self, reference: float, value: float) -> float:
        """By how much `value` is worse than `reference`, in `unit`; negative where it is better."""
        change = reference - value if self.higher_is_better else value - reference
        return self.scale * change

    def is_within(self, reference: float, value: float, tolerance: float) -> bool:
        """Whether the drop from `reference` to `value` is at most `tolerance`, in `unit`."""
        return self.drop(reference, value) <= tolerance + ROUNDING


ACCURACY = Metric("accuracy")
"""Share of items that are classified correctly, 0..1."""
