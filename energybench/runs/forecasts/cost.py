"""What a few measured steps of a cell cost, as plain values."""

from dataclasses import dataclass, field

from energybench.records.forecast import MemoryUse


@dataclass(frozen=True)
class Cost:
    """The cost of one cell without the number of its epochs."""

    rounds: list[float]
    """Seconds of one epoch with its validation, by each measured round; those of the slowest
    rank."""
    watts: float | None
    """Mean IT power of the rounds; None where no meter read."""
    outside_s: float
    """Seconds of the cell outside fine-tuning."""
    steps: int
    """Training steps of all rounds."""
    memory: list[MemoryUse]
    """Per rank."""
    notes: list[str] = field(default_factory=list)
    """What was left out, or measured of another network."""
    energy_source: str = "none"
    cpu_s_per_epoch: float | None = None
    """CPU seconds of all ranks per epoch; None where they are not known."""


@dataclass(frozen=True)
class Costed:
    """The cost of a cell, or why it has none."""

    cost: Cost | None
    error: str | None = None


@dataclass(frozen=True)
class Effort:
    """How much is measured of each cell."""

    seconds: float = 3.0
    """Seconds of measured steps, at least one step and one validation batch a round."""
    search_s: float = 30.0
    """The longest search of a method; a longer one is cut short."""
