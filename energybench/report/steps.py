"""A series of runs as levels with steps between them, and what the last step is worth.

As in asv (airspeed velocity, `asv.step_detect`), a series is piecewise constant with noise of an
unknown size: a fit has few levels, and a step is kept where it is worth its parameters. The best
fits of every number of levels are those of `ruptures` (C. Truong, L. Oudre, N. Vayatis,
Selective review of offline change point detection methods, Signal Processing 167, 2020), with the
squared error as the cost. Unlike asv, a step has an interval and a p-value.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.errors import UsageError
from energybench.report.stats import TAIL, Estimate

if TYPE_CHECKING:
    import numpy as np

MIN_RUNS = 5
"""A shorter series has no step: it says too little about its noise."""
RUNS_PER_LEVEL = 4
"""A series has at most one level per so many runs."""
_LEFT = 0.25
"""The share of a step's height beyond which a level is no longer the earlier one."""
_SHORTEST = 2
"""The fewest runs of a level: a lone outlier is none. The last run alone may be one."""


@dataclass(frozen=True)
class Step:
    """The present level against the best earlier one, or against the last one if it is better."""

    place: int
    """Number of the run, from 0, since which no level has come back within a quarter of the way to
    the one that is compared with."""
    before: int
    """Number of runs in that level."""
    after: int
    """Number of runs from `place` on."""
    height: float
    """Present level less that level."""
    error: float
    """Standard error of `height`."""
    freedom: int
    """Degrees of freedom of `error`."""
    places: int
    """Number of places at which the steps could have been, by which tests are corrected."""

    @property
    def change(self) -> Estimate:
        """`height` with Student's interval: 95 % for the series as a whole, all places together."""
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, 1.0 - TAIL / self.places)) * self.error
        runs = self.before + self.after
        return Estimate(self.height, self.height - half, self.height + half, runs)

    @property
    def is_clear(self) -> bool:
        """Whether the interval of `change` leaves out 0."""
        low, high = self.change.low, self.change.high
        return low is not None and high is not None and not low <= 0.0 <= high

    def p_beyond(self, limit: float) -> float:
        """Return the one-sided p-value of "the true height is at most `limit`", corrected, too."""
        from scipy.special import stdtr

        tail = float(stdtr(self.freedom, (limit - self.height) / self.error))
        return min(1.0, self.places * tail)


@dataclass(frozen=True)
class Levels:
    """A fit of a series."""

    runs: int
    spread: float
    """Standard deviation of a run around its level, without regard to the resolution."""
    number: int
    """Number of levels; 1 where no fit has steps that are all beyond the noise."""
    step: Step | None
    """None for one level, and where the last one is as good as the best before."""


def levels(values: Sequence[float], resolution: float) -> Levels:
    """Return the fit of a series of `MIN_RUNS` or more finite values, larger is worse.

    `resolution` is the smallest difference that means anything, in the unit of the values: no
    level is known better than its rounding, resolution / √12, however equal the values are. Of the
    fits whose steps are all beyond the noise, each corrected for its possible places, it is that
    with the least Schwarz criterion: a step costs log n, for its place and its height (Y.-C. Yao,
    Statistics & Probability Letters 6, 1988).

    Raises `UsageError` where `ruptures` is not installed, and `ValueError` for too few values.
    """
    import numpy as np

    count = len(values)
    if count < MIN_RUNS:
        raise ValueError(f"a step needs {MIN_RUNS} runs")
    series = np.asarray(values, dtype=np.float64)
    least = max(resolution**2 / 12.0, 1e-300)
    fits = [_Fit(series, bounds, least) for bounds in _bounds(series)]
    best = min((fit for fit in fits if fit.all_clear), key=lambda fit: fit.score)
    return Levels(count, best.spread, len(best.means), best.step)


class _Fit:
    """Levels of a series that end at `bounds`, with a noise of at least the variance `least`."""

    def __init__(self, series: "np.ndarray", bounds: Sequence[int], least: float) -> None:
        count, steps = len(series), len(bounds) - 1
        starts = (0, *bounds[:-1])
        parts = [series[start:end] for start, end in zip(starts, bounds, strict=True)]
        self.starts = starts
        self.means = [float(part.mean()) for part in parts]
        self.sizes = [len(part) for part in parts]
        self.freedom = count - steps - 1
        self.places = math.comb(count - 1, steps) * steps
        squares = math.fsum(float(((part - part.mean()) ** 2).sum()) for part in parts)
        self.spread = math.sqrt(squares / self.freedom)
        self.noise = math.sqrt(max(squares / self.freedom, least))
        likely = 0.5 * count * math.log(max(squares / count, least))
        self.score = likely + steps * math.log(count)

    @property
    def all_clear(self) -> bool:
        """Whether every step of the fit is beyond the noise."""
        return all(self._between(n, n + 1).is_clear for n in range(len(self.means) - 1))

    @property
    def step(self) -> Step | None:
        """The last level against the best earlier one, or the one before if that was worse."""
        if len(self.means) == 1:
            return None
        last = len(self.means) - 1
        best = min(range(last), key=self.means.__getitem__)
        found = self._between(best if self.means[last] > self.means[best] else last - 1, last)
        return found if found.is_clear else None

    def _since(self, first: int, second: int) -> int:
        """Return the first level of those that have left `first` for good."""
        height = self.means[second] - self.means[first]
        level = second
        while (self.means[level - 1] - self.means[first]) * height > _LEFT * height**2:
            level -= 1
        return level

    def _between(self, first: int, second: int) -> Step:
        place = self.starts[self._since(first, second)]
        return Step(
            place=place,
            before=self.sizes[first],
            after=sum(self.sizes) - place,
            height=self.means[second] - self.means[first],
            error=self.noise * math.sqrt(1 / self.sizes[first] + 1 / self.sizes[second]),
            freedom=self.freedom,
            places=self.places,
        )


def _bounds(series: "np.ndarray") -> list[list[int]]:
    """Return the best fit of each number of levels, as the ends of the levels."""
    try:
        from ruptures import KernelCPD
    except ImportError:
        advice = "pip install 'energybench[history]'"
        raise UsageError(f"steps in a history are found by ruptures; {advice}") from None

    count = len(series)
    series = series - series.mean()  # for the rounding of the fit
    most = max(2, count // RUNS_PER_LEVEL)
    found = [[count], [count - 1, count]]
    for part, rest in ((series, []), (series[:-1], [count])):  # the second: the last run alone
        fit = KernelCPD(kernel="linear", min_size=_SHORTEST).fit(part.reshape(-1, 1))
        for steps in range(1, most - len(rest)):
            found.append([*map(int, fit.predict(n_bkps=steps)), *rest])
    return found
