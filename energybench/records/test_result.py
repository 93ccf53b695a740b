"""The result of a cell on the held-out test split."""

from dataclasses import dataclass
from typing import ClassVar

from energybench.records.metric import ACCURACY, Metric


@dataclass(frozen=True)
class TestResult:
    """The finalized model on the held-out test split."""

    __test__: ClassVar[bool] = False  # no class of tests, whatever pytest makes of its name

    metric: Metric
    value: float
    """The metric over the split: a fraction where the metric is an accuracy."""
    items: int
    """Items of the split."""
    outcomes: str
    """One word per item, in the split's order, such as its predicted class: "7 0 3"."""
    right: str | None = None
    """One digit per item, in the split's order: "1" if right, "0" if wrong; None where the task
    does not judge single items."""
    loss: float | None = None
    """Mean loss per item; None in records of versions that kept none."""

    @property
    def resolution(self) -> float:
        """The smallest step of a drop, in its unit: one item of an accuracy; 0 where not known."""
        return self.metric.scale / self.items if self.metric == ACCURACY and self.items else 0.0
