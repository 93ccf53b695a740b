"""The record of one epoch of fine-tuning."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of fine-tuning; its seconds and joules include its validation."""

    epoch: int
    """Number of the epoch, from 1."""
    train_loss: float
    """Mean loss over the epoch's training items."""
    validation_loss: float
    """Mean loss over the validation split."""
    validation_metric: float
    """The task's metric on the validation split, such as an accuracy, 0..1."""
    steps: int
    """Optimizer steps."""
    items: int
    """Training items (images, tokens) of all ranks."""
    duration_s: float
    joules: float | None
    """IT energy; None where a domain could not be read."""
    items_per_s: float
    """Training items over the seconds of the epoch's training part."""
    peak_memory_bytes: int | None
    """Largest CUDA allocation of the fine-tuning so far, on any GPU; None on CPU."""
    data_wait_share: float | None = None
    """Share of the training part in which the device waited for data, 0..1; None: not known.

    With several ranks this is the largest share of any rank."""
    flags: list[str] = field(default_factory=list)
    """Flags of the epoch's energy window, see `EnergyReading.flags`, and `uneven`: it took more
    than its share of the time of the cell's epochs."""
