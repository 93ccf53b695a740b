"""The noise floor of a run: how far two runs of one and the same cell differ in energy.

A control repeats its block's baseline. All cells of such a group are equal, so the logarithms of
their energies differ by noise alone; the groups are pooled over models and seeds. With the
variance v of one cell and d degrees of freedom, the logarithm of the ratio of two equal cells over
its estimated standard deviation sqrt(2 v) has Student's t distribution with d degrees of freedom.
Its mean over n pairs has 1/sqrt(n) of that deviation. (W. Gosset: The probable error of a mean,
Biometrika 6(1), 1908.) For one repetition in a block, 2 v is the square of that pair's log ratio.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from energybench.records.record import RunRecord
from energybench.registry import BASELINE, is_repeat
from energybench.report.rows import OF_THE_METHOD, Setting, setting
from energybench.report.stats import Estimate
from energybench.report.text import saving as saving_text

LEVEL = 0.99
"""Probability that the ratio of two equal cells lies within the floor.

At 0.95 two of twenty equal pairs would leave the floor in every fourth run; here in one of 60."""

WIDEST = math.log(2.0)
"""A floor that is wider, over ±100 %, tells nothing: twice the energy would be noise."""


@dataclass(frozen=True)
class Floor:
    """The spread of equal cells."""

    spread: float
    """Standard deviation of the logarithm of the ratio of two equal cells."""
    freedom: int
    """Degrees of freedom: the number of repetitions."""

    def width(self, pairs: int = 1) -> float:
        """Return the largest logarithm of a mean ratio of `pairs` pairs that is no difference."""
        return _quantile(self.freedom) * self.spread / math.sqrt(pairs)

    def covers(self, ratio: Estimate) -> bool:
        """Return whether equal cells could give the mean ratio, so that it shows no difference."""
        return abs(math.log(ratio.value)) <= self.width(ratio.pairs)

    def text(self, pairs: int = 1) -> str:
        """Return the floor of a mean of `pairs` pairs in percent: "±6 %"."""
        share = 100.0 * math.expm1(min(self.width(pairs), 20.0))
        if share > 999.0:
            return "±over 999 %"
        return f"±{share:.0f} %" if share >= 9.5 else f"±{share:.1g} %"

    def tells(self, pairs: int = 1) -> bool:
        """Return whether the floor is narrow enough to call a saving within it none."""
        return self.width(pairs) <= WIDEST

    def none(self, pairs: int = 1) -> str:
        """Return the text of a saving within the floor: "none (±6 %)"."""
        return f"none ({self.text(pairs)})"


def _quantile(freedom: int) -> float:
    from scipy.special import stdtrit  # here: takes 0.1 s, and only a run with repetitions needs it

    return float(stdtrit(freedom, 0.5 + LEVEL / 2.0))


def floor(records: Iterable[RunRecord]) -> Floor | None:
    """Return the noise floor of the records of one run and machine; None without a repetition."""
    groups: dict[tuple[str, int, Setting], list[float]] = {}
    repeated: set[tuple[str, int, Setting]] = set()
    for record in records:
        again = is_repeat(record.method)
        known = record.status == "ok" and record.kwh is not None and record.kwh > 0.0
        if not known or not (again or record.method == BASELINE):
            continue
        key = (
            f"{record.model} {record.energy_source}",
            record.seed,
            setting(record, OF_THE_METHOD),
        )
        groups.setdefault(key, []).append(math.log(record.kwh or 1.0))
        if again:
            repeated.add(key)
    found = [groups[key] for key in repeated if len(groups[key]) > 1]
    freedom = sum(len(logs) - 1 for logs in found)
    if freedom == 0:
        return None
    squares = math.fsum((one - fmean(logs)) ** 2 for logs in found for one in logs)
    return Floor(math.sqrt(2.0 * squares / freedom), freedom)


def shown_saving(ratio: Estimate | None, noise: Floor | None) -> str:
    """Return a saving as text, or "none (±6 %)" where it lies within the noise floor.

    Within a floor that does not tell, as that of one repetition, the saving stands with the words
    "noise unknown".
    """
    if ratio is None or noise is None or not noise.covers(ratio):
        return saving_text(ratio)
    if noise.tells(ratio.pairs):
        return noise.none(ratio.pairs)
    return f"{saving_text(ratio)} (noise unknown)"


def wide_floor_line(noise: Floor | None) -> str | None:
    """Return one line on a floor that does not tell, and on what to do; else None."""
    if noise is None or noise.tells():
        return None
    repeated = "one repeated baseline" if noise.freedom == 1 else f"{noise.freedom} repeated ones"
    return f"noise unknown: {repeated} cannot tell it ({noise.text()}); --energy-floor=3 can"
