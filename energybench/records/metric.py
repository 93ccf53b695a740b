"""The measure of a model's quality: a named number, with the direction that is better."""

from dataclasses import dataclass

ROUNDING = 1e-9
"""Forgiven in comparisons, so that a drop of exactly the tolerance is within it."""
PERCENTAGE_POINTS = "pp"
"""The unit whose values are shares, 0..1, and read as percent."""


@dataclass(frozen=True)
class Metric:
    """A number that says how good a model is.

    Drops and tolerances are in `unit`: a value times `scale` is in that unit. Accuracy is a
    fraction, its drop is in percentage points: `Metric("accuracy", unit="pp", scale=100.0)`. A
    root mean square error in metres is `Metric("rmse", False, unit="m", scale=1.0)`.
    """

    name: str
    higher_is_better: bool = True
    unit: str = PERCENTAGE_POINTS
    """Unit of a drop and of a tolerance; "" for a number without one."""
    scale: float = 100.0
    """`unit`s per 1.0 of a value."""

    def drop(self, reference: float, value: float) -> float:
        """The change for the worse from `reference` to `value`, in `unit`; negative: better."""
        change = reference - value if self.higher_is_better else value - reference
        return self.scale * change

    def is_within(self, reference: float, value: float, tolerance: float) -> bool:
        """Whether the drop from `reference` to `value` is at most `tolerance`, in `unit`."""
        return self.drop(reference, value) <= tolerance + ROUNDING

    def __str__(self) -> str:
        better = "higher" if self.higher_is_better else "lower"
        return f"{self.name} ({better} is better, unit {self.unit or 'none'}, scale {self.scale:g})"

    @property
    def is_share(self) -> bool:
        """Whether values are shares, which people read in percent."""
        return self.unit == PERCENTAGE_POINTS

    def show(self, value: float) -> str:
        """A value for people: "97.50 %" of an accuracy, "0.512 m" of an error in metres."""
        if self.is_share:
            return f"{self.scale * value:.2f} %"
        return f"{self.scale * value:.4g} {self.unit}".rstrip()

    def show_drop(self, drop: float, sign: str = "+") -> str:
        """A drop in `unit` for people: "+1.50 pp", "-0.02 m"; with `sign` "" only a minus shows."""
        digits = ".2f" if self.is_share else ".3g"
        return f"{drop:{sign}{digits}} {self.unit}".rstrip()

    @property
    def worsened(self) -> str:
        """The clause for a model that got worse: "the accuracy dropped", "the rmse rose"."""
        return f"the {self.name} {'dropped' if self.higher_is_better else 'rose'}"


ACCURACY = Metric("accuracy")
"""Share of items that are classified correctly, 0..1."""
