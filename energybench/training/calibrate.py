"""Measures which of several arithmetics trains a model cheapest, by a few steps in each.

A narrower arithmetic is not always cheaper: device, layers and batch size decide. So each candidate
trains the real model on real batches. The rounds go back and forth over the candidates, because
clock rates and temperatures drift. The steps are undone afterwards.

A narrower arithmetic is taken only where it is cheaper beyond the noise of the rounds: each round
pairs it with the run's own arithmetic, and the upper end of a one-sided t interval of the mean log
ratio must be below 0. One disturbed round widens the interval instead of deciding.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from scipy.special import stdtrit
from torch import nn

from energybench.compression.base import Compression
from energybench.energy.coverage import counted
from energybench.energy.readings import EnergyReading
from energybench.training.plan import Finetuning
from energybench.training.rehearsal import Rehearsal, rehearsal

LONGEST_S = 5.0
"""Longest window, seconds: windows grow up to this length until the meter resolves them."""

ROUNDS = 6
"""Windows of each candidate; an even number lets a steady drift cancel."""
CONFIDENCE = 0.95
"""Of the interval that says whether a narrower arithmetic is cheaper, over all candidates."""
MARGIN = 0.02
"""Share by which a narrower arithmetic must be cheaper in the mean."""

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
    rounds: dict[str, list[float]] = field(default_factory=dict)
    """Candidate -> cost of a step in each round, by `criterion`."""
    ratios: dict[str, list[float]] = field(default_factory=dict)
    """Narrower candidate -> [mean ratio of its cost to that of the run's own arithmetic, upper end
    of the interval]; [] where a cost is 0."""


def calibrate(
    model: nn.Module,
    compression: Compression,
    candidates: Sequence[str],
    run: Finetuning,
    rounds: int = ROUNDS,
    warm_up: int = 1,
) -> Calibration:
    """Train `model` in each of `candidates`, arithmetics such as "bf16", and choose one.

    `run.precision` is one of them, and is chosen unless another is cheaper beyond the noise, by
    `MARGIN` or more in the mean; of several that are, the cheapest, or the first in a tie. Each
    candidate takes `warm_up` unmeasured steps, then `rounds` windows. A window has one step, or
    more where the meter does not resolve one, up to `LONGEST_S`. The steps are undone, see
    `rehearsal`. Raises `CellError` for a split without batches, `ValueError` for no candidate, or
    several without `run.precision`.
    """
    if not candidates:
        raise ValueError("no candidate to calibrate")
    if len(candidates) == 1:
        return Calibration(candidates[0], None)
    if run.precision not in candidates:
        raise ValueError(f"the run's own arithmetic {run.precision} is no candidate")
    with rehearsal(model, compression, run) as rehearsed:
        readings, steps = _readings(rehearsed, candidates, rounds, warm_up)
    return _decide(readings, steps, run.precision)


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


def _decide(readings: dict[str, list[EnergyReading]], steps: int, own: str) -> Calibration:
    costs = {
        candidate: {
            "seconds_per_step": _median([one.duration_s for one in windows], steps),
            "joules_per_step": _median([_measured_joules(one) for one in windows], steps),
        }
        for candidate, windows in readings.items()
    }
    every = [reading for windows in readings.values() for reading in windows]
    by_joules = not any(_measured_joules(one) is None or _is_too_short(one) for one in every)
    cost = _measured_joules if by_joules else _seconds
    rounds = {
        candidate: [(cost(one) or 0.0) / steps for one in windows]
        for candidate, windows in readings.items()
    }
    ratios = {
        candidate: _ratio(rounds[candidate], rounds[own], len(rounds) - 1)
        for candidate in rounds
        if candidate != own
    }
    cheaper = {
        candidate: found[0]
        for candidate, found in ratios.items()
        if found and found[0] <= 1 - MARGIN and found[1] < 1
    }
    return Calibration(
        chosen=min(cheaper, key=lambda candidate: cheaper[candidate], default=own),
        criterion="joules_per_step" if by_joules else "seconds_per_step",
        candidates=costs,
        steps=steps * len(rounds[own]),
        rounds=rounds,
        ratios=ratios,
    )


def _ratio(costs: Sequence[float], own: Sequence[float], tests: int) -> list[float]:
    """Return the geometric mean of the paired ratios `costs` / `own`, and its upper end.

    The end is that of a one-sided t interval of the mean log ratio; Bonferroni's correction shares
    the error among `tests` intervals. Returns [] for fewer than two pairs, or a cost of 0.
    """
    if len(costs) < 2 or min(*costs, *own) <= 0:
        return []
    logs = [math.log(cost / other) for cost, other in zip(costs, own, strict=True)]
    mean, error = statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    quantile = float(stdtrit(len(logs) - 1, 1 - (1 - CONFIDENCE) / tests))
    return [math.exp(mean), math.exp(mean + quantile * error)]


def _seconds(reading: EnergyReading) -> float:
    return reading.duration_s


def _median(values: list[float | None], steps: int) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) / steps if len(known) == len(values) else None


def _measured_joules(reading: EnergyReading) -> float | None:
    """Sum the domains that are not estimated; None if there is none, or a reading failed."""
    if reading.it_joules is None:
        return None
    measured = [
        joules
        for domain in counted(reading.joules)
        if (joules := reading.joules[domain]) is not None and reading.kind(domain) != "estimated"
    ]
    return sum(measured) if measured else None


def _is_too_short(reading: EnergyReading) -> bool:
    return _measured_joules(reading) is not None and "short_window" in reading.flags
