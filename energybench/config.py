"""What a run is asked to do, as frozen values; a wrong one raises `UsageError` at once."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from energybench.errors import UsageError

PRECISIONS = ("fp32", "tf32", "bf16")
"""Arithmetics, widest first."""
BUDGETS = ("early-stopping", "equal")
"""How long a method trains: until it stops improving, or for exactly its baseline's epochs."""


@dataclass(frozen=True)
class Cell:
    """One benchmark: model x method x seed."""

    model: str
    method: str
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.model}-{self.method}-seed{self.seed}"

    @property
    def reference(self) -> "Cell":
        """The baseline that this cell's accuracy is compared with."""
        return Cell(self.model, "baseline", self.seed)


@dataclass(frozen=True)
class FinetuneConfig:
    """The paper's training protocol (arXiv 2506.01311): SGD and early stopping."""

    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    patience: int = 3
    """Epochs without an improvement of more than `min_delta` after which training stops."""
    min_delta: float = 0.05
    max_epochs: int = 50
    batch_size: int = 64
    budget: str = "early-stopping"
    """One of `BUDGETS`; the baseline itself always stops early."""

    def __post_init__(self) -> None:
        _at_least("--energy-max-epochs", self.max_epochs, 1)
        _at_least("--energy-batch-size", self.batch_size, 2)
        if self.budget not in BUDGETS:
            raise UsageError(f"unknown budget {self.budget!r}; known: {', '.join(BUDGETS)}")


@dataclass(frozen=True)
class MeasureConfig:
    """How energy is read and reported."""

    meters: tuple[str, ...] = ("auto",)
    replay: str | None = None
    """Trace file of the `replay` meter."""
    pue: float = 1.58
    """Power usage effectiveness: facility energy / IT energy. The paper's default."""
    country: str | None = None
    """ISO 3166-1 alpha-3 code of the grid whose emissions are reported; None for no emissions."""
    idle_s: float = 5.0
    """Quiet seconds in which idle power is measured before the first cell; 0 for none."""
    trace: bool = False
    """Whether each cell's power is sampled."""

    def __post_init__(self) -> None:
        _at_least("--energy-pue", self.pue, 1.0)
        _at_least("--energy-idle", self.idle_s, 0.0)


@dataclass(frozen=True)
class RunConfig:
    """Everything that shapes the numbers of a run, except the cell itself."""

    dataset: str = "digits"
    weights: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    tolerance_pp: float = 1.0
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)

    def __post_init__(self) -> None:
        _at_least("--energy-tolerance", self.tolerance_pp, 0.0)
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"unknown precision {self.precision!r}; known: {', '.join(PRECISIONS)}"
            )

    def protocol(self) -> dict[str, Any]:
        """The part that goes into the record."""
        return {
            **asdict(self.finetune),
            "tolerance_pp": self.tolerance_pp,
            "pue": self.measure.pue,
        }


def _at_least(option: str, value: float, lowest: float) -> None:
    if not math.isfinite(value) or value < lowest:
        raise UsageError(f"{option} is {value:g}; it must be at least {lowest:g}")
