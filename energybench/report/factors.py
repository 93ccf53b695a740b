"""The factors of a ratio of energies: epochs, steps per epoch, seconds per step, watts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from energybench.records.record import RunRecord
from energybench.report.stats import means

NAMES = ("epochs", "steps per epoch", "seconds per step", "watts")
"""Their product is the IT energy of fine-tuning, joules."""
CLEAR = 0.1
"""A ratio without an interval has shares when its logarithm is at least this, about 10 %; two runs
of one cell may differ by less. Beyond this share of the largest factor, factors cancel out."""


@dataclass(frozen=True)
class Factors:
    """A ratio of energies as a product of four ratios."""

    logs: dict[str, float]
    """Name in `NAMES` -> natural logarithm of that factor's ratio."""
    interval: tuple[float, float] | None = None
    """95 % interval of `log_ratio` over the seeds; None with too few of them."""

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
        """Name -> share of the log ratio; the shares add up to 1.

        None where the ratio cannot be told from 1, and where the factors cancel out: shares of
        almost nothing would be any numbers.
        """
        total = self.log_ratio
        if self.interval is None:
            clear = abs(total) >= CLEAR
        else:
            low, high = self.interval
            clear = low > 0.0 or high < 0.0
        if not clear or abs(total) <= CLEAR * max(map(abs, self.logs.values())):
            return None
        return {name: value / total for name, value in self.logs.items()}

    @property
    def texts(self) -> list[str]:
        """Each ratio with its share of the log ratio, where there are shares: "0.62 (104 %)"."""
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
    reading = record.main
    steps = sum(epoch.steps for epoch in record.epochs)
    if reading is None or steps == 0 or not reading.watts or reading.watts <= 0.0:
        return None
    epochs = len(record.epochs)
    values = (epochs, steps / epochs, reading.duration_s / steps, reading.watts)
    return dict(zip(NAMES, map(float, values), strict=True))


def factors(pairs: Sequence[tuple[RunRecord, RunRecord]]) -> Factors | None:
    """Return the factors of the geometric mean of first / second energy; None if a part is unknown.

    Each factor is the mean of its logarithm over the pairs, so the sum of all factors is exactly
    the logarithm of the geometric mean. The interval is that of `stats.means`.
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
    (total,) = means([[math.fsum(row) for row in zip(*logs.values(), strict=True)]])
    return Factors(
        {name: math.fsum(values) / len(values) for name, values in logs.items()},
        None if total.low is None or total.high is None else (total.low, total.high),
    )
