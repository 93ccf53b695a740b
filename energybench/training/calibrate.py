"""Measures which of several arithmetics trains a model cheapest, by a few steps in each.

A narrower arithmetic is not always cheaper: device, layers and batch size decide. So each candidate
trains the real model on real batches. The rounds go back and forth over the candidates, because
clock rates and temperatures drift. The steps are undone afterwards.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from energybench.compression.base import Compression
from energybench.energy.readings import EnergyReading
from energybench.training.plan import Finetuning
from energybench.training.rehearsal import Rehearsal, rehearsal

LONGEST_S = 5.0
"""Longest window, seconds: windows grow up to this length until the meter resolves them."""

Criterion = Literal["joules_per_step", "seconds_per_step"]


@dataclass(frozen=True)
class Calibration:
    """The chosen arithmetic and the costs that were measured."""

    chosen: str
    criterion: Criterion | None
    """The cost that decided; None with a single candidate, which is not measured.

    Measured joules decide, without estimated ones. Seconds decide where no joules are measured, a
    reading failed, or the windows are shorter than the meter resolves.
    """
    candidates: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """Candidate -> median `seconds_per_step` and measured `joules_per_step`, None if not read."""
    steps: int = 0
    """Steps measured in each candidate."""


def calibrate(
    model: nn.Module,
    compression: Compression,
    candidates: Sequence[str],
    run: Finetuning,
    rounds: int = 3,
    warm_up: int = 1,
) -> Calibration:
    """Train `model` in each of `candidates`, arithmetics such as "bf16"; the first wins a tie.

    Each candidate takes `warm_up` unmeasured steps, then `rounds` windows. A window has one step,
    or more where the meter does not resolve one, up to `LONGEST_S`. The steps are undone, see
    `rehearsal`. Raises `CellError` for a split without batches, `ValueError` for no candidate.
    """
    if not candidates:
        raise ValueError("no candidate to calibrate")
    if len(candidates) == 1:
        return Calibration(candidates[0], None)
    with rehearsal(model, compression, run) as rehearsed:
        readings, steps = _readings(rehearsed, candidates, rounds, warm_up)
    return _decide(readings, steps)


def _readings(
    rehearsed: Rehearsal, candidates: Sequence[str], rounds: int, warm_up: int
) -> tuple[dict[str, list[EnergyReading]], int]:
    """Return `rounds` windows of each candidate, and the number of steps in each window."""
    for candidate in candidates:
        if warm_up:
            rehearsed.train(candidate, warm_up)
    steps = 1
    while True:
        first = {candidate: rehearsed.train(candidate, steps) for candidate in candidates}
        longest = max(reading.duration_s for reading in first.values())
        if 2 * longest > LONGEST_S or not any(map(_is_too_short, first.values())):
            break
        steps *= 2
    readings = {candidate: [reading] for candidate, reading in first.items()}
    for number in range(1, rounds):
        for candidate in reversed(candidates) if number % 2 else candidates:
            readings[candidate].append(rehearsed.train(candidate, steps))
    return readings, steps


def _decide(readings: dict[str, list[EnergyReading]], steps: int) -> Calibration:
    costs = {
        candidate: {
            "seconds_per_step": _median([reading.duration_s for reading in own], steps),
            "joules_per_step": _median([_measured_joules(reading) for reading in own], steps),
        }
        for candidate, own in readings.items()
    }
    every = [reading for own in readings.values() for reading in own]
    by_joules = not any(_measured_joules(one) is None or _is_too_short(one) for one in every)
    criterion: Criterion = "joules_per_step" if by_joules else "seconds_per_step"
    chosen = min(costs, key=lambda candidate: costs[candidate][criterion] or 0.0)
    return Calibration(chosen, criterion, costs, steps * len(readings[chosen]))


def _median(values: list[float | None], steps: int) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) / steps if len(known) == len(values) else None


def _measured_joules(reading: EnergyReading) -> float | None:
    """Sum the domains that are not estimated; None if there is none, or a reading failed."""
    if reading.it_joules is None:
        return None
    measured = [
        joules
        for domain, joules in reading.joules.items()
        if joules is not None and reading.kind(domain) != "estimated"
    ]
    return sum(measured) if measured else None


def _is_too_short(reading: EnergyReading) -> bool:
    return _measured_joules(reading) is not None and "short_window" in reading.flags
