"""The factors of a ratio of energies: epochs, steps per epoch, seconds per step, watts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from energybench.records.record import RunRecord

NAMES = ("epochs", "steps per epoch", "seconds per step", "watts")
"""Their product is the IT energy of fine-tuning, joules."""


@dataclass(frozen=True)
class Factors:
    """A ratio of energies as a product of four ratios."""

    logs: dict[str, float]
    """Name in `NAMES` -> natural logarithm of that factor's ratio."""

    @property
    def log_ratio(self) -> float:
        """Natural logarithm of the energy's ratio."""
        return math.fsum(self.logs.values())

    @property
    def ratios(self) -> dict[str, float]:
        """Name -> ratio of that factor."""
        return {name: math.exp(value) for name, value in self.logs.items()}

    @property
    def shares(self) -> dict[str, float] | None:
        """Name -> share of the log ratio; the shares add up to 1. None if the ratio is 1."""
        total = self.log_ratio
        if total == 0.0:
            return None
        return {name: value / total for name, value in self.logs.items()}

    @property
    def texts(self) -> list[str]:
        """Each ratio with its share of the log ratio: "0.62 (104 %)"."""
        shares = self.shares
        return [
            f"{ratio:.2f}" + (f" ({100 * shares[name]:z.0f} %)" if shares else "")
            for name, ratio in self.ratios.items()
        ]


def parts(record: RunRecord) -> dict[str, float] | None:
    """Return name in `NAMES` -> value in `record`; None if a value is not known or zero.

    A step's seconds and the watts include validations, so that the product is the energy of the
    whole fine-tuning.
    """
    reading = record.phases.get("finetune")
    steps = sum(epoch.steps for epoch in record.epochs)
    if reading is None or steps == 0 or not reading.watts or reading.watts <= 0.0:
        return None
    epochs = len(record.epochs)
    values = (epochs, steps / epochs, reading.duration_s / steps, reading.watts)
    return dict(zip(NAMES, map(float, values), strict=True))


def factors(pairs: Sequence[tuple[RunRecord, RunRecord]]) -> Factors | None:
    """Return the factors of the geometric mean of first / second energy; None if a part is unknown.

    Each factor is the mean of its logarithm over the pairs, so the sum of all factors is exactly
    the logarithm of the geometric mean.
    """
    logs: dict[str, list[float]] = {name: [] for name in NAMES}
    for record, base in pairs:
        ours, theirs = parts(record), parts(base)
        if ours is None or theirs is None:
            return None
        for name in NAMES:
            logs[name].append(math.log(ours[name] / theirs[name]))
    if not pairs:
        return None
    return Factors({name: math.fsum(values) / len(values) for name, values in logs.items()})
