"""What a run is asked to do, as frozen values; a wrong one raises `UsageError` at once."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from energybench.errors import UsageError

PRECISIONS = ("fp32", "tf32", "bf16")
"""Arithmetics, widest first."""
MEMORY_FORMATS = ("auto", "contiguous", "channels_last")
"""How feature maps lie in memory; "auto" goes by the arithmetic, see `training.layout`."""
BUDGETS = ("early-stopping", "equal")
"""How long a method trains: until it stops improving, or for exactly its baseline's epochs."""

BAD_IMAGES = ("refuse", "skip")
"""End the run with their names, or leave them out and record their names."""


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
        _one_of("budget", self.budget, BUDGETS)


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
class DataConfig:
    """How image folders are read."""

    cache: str = ""
    """Folder of decoded images; "" for the one in the user's cache, "off" for none."""
    bad_images: str = "refuse"
    """What to do when a file is no image: one of `BAD_IMAGES`."""

    def __post_init__(self) -> None:
        if self.bad_images not in BAD_IMAGES:
            raise UsageError(
                f"--energy-bad-images is {self.bad_images!r}; known: {', '.join(BAD_IMAGES)}"
            )


@dataclass(frozen=True)
class RunConfig:
    """Everything that shapes the numbers of a run, except the cell itself."""

    dataset: str = "digits"
    data: DataConfig = field(default_factory=DataConfig)
    weights: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    memory_format: str = "auto"
    """One of `MEMORY_FORMATS`."""
    compile: bool = False
    """Whether training steps run through `torch.compile`."""
    tolerance: float = 1.0
    largest_batch: bool = False
    """Whether each model's batch size is the largest that fits, instead of `finetune`'s."""
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)

    def __post_init__(self) -> None:
        _at_least("--energy-tolerance", self.tolerance, 0.0)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("memory format", self.memory_format, MEMORY_FORMATS)

    def protocol(self) -> dict[str, Any]:
        """The part that goes into the record."""
        return {
            **asdict(self.finetune),
            "memory_format": self.memory_format,
            "compile": self.compile,
            "tolerance": self.tolerance,
            "pue": self.measure.pue,
        }


def _one_of(noun: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"unknown {noun} {value!r}; known: {', '.join(known)}")


def _at_least(option: str, value: float, lowest: float) -> None:
    if not math.isfinite(value) or value < lowest:
        raise UsageError(f"{option} is {value:g}; it must be at least {lowest:g}")
