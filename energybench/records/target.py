"""The record of how soon a cell was as good as it has to be, as MLPerf's time to quality."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """The first epoch whose validation metric is within the tolerance of the baseline's best."""

    value: float
    """The validation metric to reach: the baseline's best, less the tolerance."""
    epoch: int | None
    """Number of the first epoch that reached it, 0 for the compressed weights; None: none did."""
    joules: float | None
    """IT energy of fine-tuning until the end of that epoch; None if not reached or not known."""
