"""Which of several arithmetics trains a model cheapest here, by a few steps in each.

An arithmetic that is narrower is not always cheaper: the GPU or CPU, the layers and the batch size
decide. So each candidate trains the real model on real batches, in rounds that go to and fro over
the candidates, because clocks and temperatures drift. Afterwards nothing of it is left.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from energybench.compression.base import Compression
from energybench.energy.readings import EnergyReading
from energybench.training.plan import Finetuning
from energybench.training.rehearsal import Trial, trial

LONGEST_S = 5.0
"""Seconds up to which windows are lengthened until the meter resolves them."""

Criterion = Literal["joules_per_step", "seconds_per_step"]


@dataclass(frozen=True)
class Calibration:
    """What was measured, and what it says."""

    chosen: str
    criterion: Criterion | None
    """What is least for `chosen`; None with one candidate, for which nothing is measured.

    Measured joules decide, estimated ones left out; unless there are none, some could not be read,
    or their windows are shorter than the meter resolves: then seconds do.
    """
    candidates: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """Candidate -> its median `seconds_per_step` and measured `joules_per_step`; None: not read."""
    steps: int = 0
    """Measured in each candidate."""


def calibrate(
    model: nn.Module,
    compression: Compression,
    candidates: Sequence[str],
    run: Finetuning,
    rounds: int = 3,
    warm_up: int = 1,
) -> Calibration:
    """Train `model` in each of `candidates` (precisions of `arithmetic`); the first wins a tie.

    Each candidate takes `warm_up` steps unmeasured, then `rounds` windows of one step each, or of
    more where the meter does not resolve them, up to `LONGEST_S` a window. Nothing is left of them,
    see `trial`, which raises `CellError` for a split without batches. Raises `ValueError` for no
    candidate.
    """
    if not candidates:
        raise ValueError("no candidate to calibrate")
    if len(candidates) == 1:
        return Calibration(candidates[0], None)
    with trial(model, compression, run) as steps_of:
        readings, steps = _readings(steps_of, candidates, rounds, warm_up)
    return _decide(readings, steps)


def _readings(
    trial: Trial, candidates: Sequence[str], rounds: int, warm_up: int
) -> tuple[dict[str, list[EnergyReading]], int]:
    """`rounds` windows of each candidate, and how many steps each window has."""
    for candidate in candidates:
        if warm_up:
            trial.train(candidate, warm_up)
    steps = 1
    while True:
        first = {candidate: trial.train(candidate, steps) for candidate in candidates}
        longest = max(reading.duration_s for reading in first.values())
        if 2 * longest > LONGEST_S or not any(map(_is_too_short, first.values())):
            break
        steps *= 2
    readings = {candidate: [reading] for candidate, reading in first.items()}
    for number in range(1, rounds):
        for candidate in reversed(candidates) if number % 2 else candidates:
            readings[candidate].append(trial.train(candidate, steps))
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
    """The sum over domains that are not estimated; None if there is none, or one was not read."""
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
