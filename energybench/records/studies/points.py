"""The operating point: what a fine-tuning takes at one batch size, arithmetic and power limit."""

from dataclasses import dataclass, field

from energybench.energy.source import names_an_estimate
from energybench.records.metric import Metric
from energybench.records.studies.version import SCHEMA_VERSION


@dataclass(frozen=True)
class OperatingPoint:
    """One fine-tuning under the protocol, with its time, energy and metric."""

    model: str
    method: str
    seed: int
    batch_size: int
    """Items per training step."""
    precision: str
    """The arithmetic of fine-tuning and test."""
    power_limit_w: float | None
    """The GPU's power limit meanwhile; None for its own, and on a CPU."""
    device_name: str
    epochs: int
    seconds: float
    """Of fine-tuning, validation included."""
    joules: float | None
    """IT energy of fine-tuning."""
    metric: Metric
    value: float
    """The metric of the finalized model on the test split."""
    sources: dict[str, str] = field(default_factory=dict)
    """Domain -> how its energy was read."""
    flags: list[str] = field(default_factory=list)
    kind: str = "operating point"
    schema_version: int = SCHEMA_VERSION

    @property
    def estimated(self) -> bool:
        """Whether the energy is an estimate instead of a measurement."""
        return names_an_estimate(self.sources.values())
