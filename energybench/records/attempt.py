"""The record of an attempt at a cell that a disturbance spoilt, so that the cell ran again."""

from dataclasses import dataclass

from energybench.energy.readings import EnergyReading

DISTURBANCES = ("contaminated", "uneven")
"""Flags of a record for which `--energy-retry` runs its cell again."""


@dataclass(frozen=True)
class Attempt:
    """One earlier attempt; the record's own fields belong to the last."""

    flags: list[str]
    """The flags for which it was run again."""
    finetune: EnergyReading | None
    """Its window of fine-tuning."""
    epochs: int
    """Epochs that it trained."""
