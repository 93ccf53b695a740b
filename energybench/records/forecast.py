"""The forecast of a cell: what `energybench plan` expected of it, before it ran."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Range:
    """An interval, with the value that is most likely if any is."""

    low: float
    high: float
    likely: float | None = None
    """None where nothing makes one value likelier than another."""

    def scaled(self, factor: float) -> "Range":
        """The range of `factor` times the value; `factor` is not negative."""
        likely = None if self.likely is None else factor * self.likely
        return Range(factor * self.low, factor * self.high, likely)

    def shifted(self, amount: float) -> "Range":
        """The range of the value plus `amount`."""
        likely = None if self.likely is None else amount + self.likely
        return Range(amount + self.low, amount + self.high, likely)

    def times(self, other: "Range") -> "Range":
        """The range of the product of two values that are not negative."""
        known = self.likely is not None and other.likely is not None
        likely = (self.likely or 0.0) * (other.likely or 0.0) if known else None
        return Range(self.low * other.low, self.high * other.high, likely)

    def plus(self, other: "Range") -> "Range":
        """The range of the sum of two values, each anywhere in its own range."""
        known = self.likely is not None and other.likely is not None
        likely = (self.likely or 0.0) + (other.likely or 0.0) if known else None
        return Range(self.low + other.low, self.high + other.high, likely)

    def holds(self, value: float) -> bool:
        """Whether `value` is within the interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class MemoryUse:
    """The memory of one rank in training steps, bytes.

    Where weights are divided among ranks, the first three are this rank's share.
    """

    parameters: int
    gradients: int
    momentum: int
    activations: int
    """What a step or an evaluation took beyond all that is there between two steps."""
    peak: int
    """The largest at once: resident memory of the process on a CPU, what PyTorch has allocated on
    a GPU."""


@dataclass(frozen=True)
class Forecast:
    """What a cell takes, from a few measured steps of it and the epochs of cells like it."""

    seconds_per_epoch: Range
    """With its validation; `low` and `high` are the fastest and the slowest measured round."""
    watts: float | None
    """Mean IT power of the measured steps; None where no meter read."""
    epochs: Range
    epochs_from: str
    """Where `epochs` are from: "5 like cells", or "the protocol"."""
    outside_s: float
    """Seconds of the cell outside fine-tuning: loading, warm-up, compressing, evaluating."""
    steps: int
    """Training steps that were measured."""
    memory: list[MemoryUse] = field(default_factory=list)
    """Per rank."""
    notes: list[str] = field(default_factory=list)
    """What the forecast leaves out, or measured of another network."""
    energy_source: str = "none"
    """How `watts` were read: the distinct sources, joined by "+"."""
    cpu_s_per_epoch: float | None = None
    """CPU seconds of the measured processes per epoch, which other programs hardly change; None
    where they are not known."""

    @property
    def finetune_s(self) -> Range:
        """Seconds of fine-tuning."""
        return self.seconds_per_epoch.times(self.epochs)

    @property
    def seconds(self) -> Range:
        """Seconds of the whole cell."""
        return self.finetune_s.shifted(self.outside_s)

    @property
    def finetune_joules(self) -> Range | None:
        """IT energy of fine-tuning; None where the power is not known."""
        return None if self.watts is None else self.finetune_s.scaled(self.watts)

    @property
    def joules(self) -> Range | None:
        """IT energy of the whole cell at the power of its steps; None where that is not known."""
        return None if self.watts is None else self.seconds.scaled(self.watts)

    @property
    def peak_bytes(self) -> int | None:
        """The largest memory of any rank; None where it was not measured."""
        return max((rank.peak for rank in self.memory), default=None)
