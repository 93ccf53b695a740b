"""The record of one epoch of fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TypeVar

from energybench.energy.readings import CpuUse

UNEVEN = 1.2
"""An epoch is `uneven` if it took more than this multiple of the median of its cell's epochs."""
_UNEVEN_S = 0.05
"""Seconds that an uneven epoch takes beyond the median at least; any program stops for less."""


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
    """Flags of the epoch's energy window, see `EnergyReading.flags`, and `uneven`: its seconds, or
    its joules where they are measured, are over `UNEVEN` times the median of the cell's epochs."""
    cpu: CpuUse | None = None
    """Who used the processors within the epoch; None where that is not known."""


@dataclass(frozen=True)
class ScriptEpoch:
    """One epoch that a script logged."""

    epoch: int
    """Number of the epoch, from 1."""
    duration_s: float
    joules: float | None
    """IT energy since the epoch before was logged; None where a domain could not be read."""
    logged: dict[str, float] = field(default_factory=dict)
    """Numbers that were logged with the epoch, by the script's own names."""
    flags: list[str] = field(default_factory=list)
    """As in `EpochRecord`."""
    cpu: CpuUse | None = None
    """Who used the processors within the epoch; None where that is not known."""


Timed = TypeVar("Timed", EpochRecord, ScriptEpoch)


def with_uneven(epochs: Sequence[Timed], measured: bool) -> list[Timed]:
    """Return all epochs of a cell or script, those marked `uneven` that are.

    `measured` says whether the joules are measured; estimated ones follow the seconds. Joules of an
    epoch that is shorter than its meter resolves do not count.
    """
    if not epochs:
        return []
    middle_s = median(epoch.duration_s for epoch in epochs)
    joules = [epoch.joules for epoch in epochs if epoch.joules is not None]
    middle_j = median(joules) if measured and len(joules) == len(epochs) else None
    return [
        replace(epoch, flags=_with(epoch.flags, _is_uneven(epoch, middle_s, middle_j)))
        for epoch in epochs
    ]


def _is_uneven(epoch: EpochRecord | ScriptEpoch, middle_s: float, middle_j: float | None) -> bool:
    slow = epoch.duration_s > max(UNEVEN * middle_s, middle_s + _UNEVEN_S)
    if middle_j is None or epoch.joules is None or "short_window" in epoch.flags:
        return slow
    return slow or epoch.joules > UNEVEN * middle_j


def _with(flags: Sequence[str], uneven: bool) -> list[str]:
    return [*(flag for flag in flags if flag != "uneven"), *(["uneven"] if uneven else [])]
