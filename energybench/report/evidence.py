"""What the cells of one model and method say of a claim: the interval of a quantity, or obstacles.

An estimated energy is time x assumed watts. It can judge claims about time, and none about energy.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from energybench.records.stopping import at_floor, capped
from energybench.report.claims import Claim
from energybench.report.comparison import finetune_s
from energybench.report.savings import NONE, Saving
from energybench.report.stats import CONFIDENCE, MIN_PAIRS, Estimate, means, ratios
from energybench.report.text import percent, points

_CLOSE = 1e-9


@dataclass(frozen=True)
class Evidence:
    """A quantity of one model and method, beside the range in which the claim holds."""

    name: str
    """The model, and the method where the claim is about several."""
    shown: str
    estimate: Estimate | None
    least: float
    most: float
    logarithmic: bool
    """Whether the quantity is a ratio, whose interval is symmetric in the logarithm."""
    obstacles: tuple[str, ...]
    """Reasons why it cannot judge the claim."""

    def holds(self, looks: int = 1) -> bool:
        """Return whether the claim holds beyond doubt, with the interval widened for `looks`."""
        ends = self._ends(looks)
        return ends is not None and self.least <= ends[0] and ends[1] <= self.most

    def refuted(self, looks: int = 1) -> bool:
        """Return whether the claim fails beyond doubt, with the interval widened for `looks`."""
        ends = self._ends(looks)
        return ends is not None and (ends[1] < self.least or self.most < ends[0])

    def _ends(self, looks: int) -> tuple[float, float] | None:
        one = self.estimate
        if self.obstacles or one is None or one.low is None or one.high is None:
            return None
        wider = _widening(one.pairs - 1, looks)
        if not self.logarithmic:
            low, high = one.value - one.low, one.high - one.value
            return one.value - wider * low, one.value + wider * high
        below, above = one.low / one.value, one.high / one.value
        return one.value * below**wider, one.value * above**wider


def _widening(freedom: int, looks: int) -> float:
    """Return the factor from one interval to `looks` intervals that err together as often."""
    from scipy.special import stdtrit  # here: takes 0.1 s, and only a page of claims needs it

    tail = (1.0 - CONFIDENCE) / 2.0
    return float(stdtrit(freedom, 1.0 - tail / looks) / stdtrit(freedom, 1.0 - tail))


@dataclass(frozen=True)
class _Quantity:
    """How a claim is checked."""

    estimate: Callable[[Saving], Estimate | None]
    range: Callable[[Claim], tuple[float, float]]
    """Least and largest value with which the claim holds."""
    show: Callable[[Saving, Estimate | None], str]
    trained: bool = True
    """Whether it depends on training, and so on a cap on epochs."""
    of_bits: bool = True
    """Whether what is trained has to be the only difference, so that the arithmetic is one."""
    by_epochs: bool = False
    """Whether fewer epochs change it, so that a baseline at the floor cannot judge it."""
    energy: bool = False
    """Whether it is an energy, which an estimate cannot judge."""
    logarithmic: bool = False


def evidence(claim: Claim, saving: Saving) -> Evidence:
    """Return what `saving` says of `claim`; raises `KeyError` for an unknown check."""
    quantity = _QUANTITIES[claim.check]
    estimate = quantity.estimate(saving)
    least, most = quantity.range(claim)
    return Evidence(
        saving.model if claim.method else f"{saving.model} {saving.method}",
        quantity.show(saving, estimate),
        estimate,
        least,
        most,
        quantity.logarithmic,
        tuple(_obstacles(claim, saving, quantity, estimate)),
    )


def has_many_epochs(claim: Claim, saving: Saving) -> bool:
    """Return whether the method took over the claim's multiple of its baseline's epochs."""
    ours = fmean(len(record.epochs) for record, _ in saving.pairs)
    return ours > claim.bound * fmean(len(base.epochs) for _, base in saving.pairs)


def _obstacles(
    claim: Claim, saving: Saving, quantity: _Quantity, estimate: Estimate | None
) -> list[str]:
    pairs = saving.pairs
    found = []
    if len(pairs) < MIN_PAIRS:
        seeds = "1 seed" if len(pairs) == 1 else f"{len(pairs)} seeds"
        found.append(f"too few seeds: {seeds}, an interval needs {MIN_PAIRS}")
    elif estimate is None or estimate.low is None or estimate.high is None:
        found.append("not known in every seed")
    at_rest = sum(at_floor(base) for _, base in pairs)
    if quantity.by_epochs and at_rest:
        found.append(f"baseline at the floor in {at_rest} of {len(pairs)} seeds")
    capped_at = {one.protocol.max_epochs or 0 for pair in pairs for one in pair if capped(one)}
    if quantity.trained and capped_at:
        found.append(f"epochs capped at {', '.join(map(str, sorted(capped_at)))}")
    if quantity.trained and quantity.of_bits:
        unlike = {
            (ours.precision, base.precision)
            for ours, base in pairs
            if ours.precision != base.precision
        }
        found += [f"arithmetic {one} against {other}" for one, other in sorted(unlike, key=str)]
    if quantity.energy and saving.estimated:
        found.append("energy is an estimate")
    rate = _rate(saving)
    if claim.rates is not None and not (
        rate is not None and claim.rates[0] <= rate.value <= claim.rates[1]
    ):
        low, high = claim.rates
        at = percent(rate.value if rate else None, 0)
        found.append(
            f"another compression rate: {at} instead of {100 * low:.0f} to {percent(high, 0)}"
        )
    return found


def _time(saving: Saving) -> Estimate | None:
    seconds = [(finetune_s(ours) or 0.0, finetune_s(base) or 0.0) for ours, base in saving.pairs]
    return ratios([seconds])[0] if all(min(pair) > 0.0 for pair in seconds) else None


def _rate(saving: Saving) -> Estimate | None:
    reports = [ours.compression for ours, _ in saving.pairs]
    rates = [report.compression_rate for report in reports if report]
    return means([rates])[0] if rates else None


def _bits_kept(saving: Saving) -> Estimate | None:
    """Return the mean of the bits kept; its interval holds those of every seed's search, if known.

    Seeds may share one search, whose interval over resampled validation items tells more.
    """
    reports = [ours.compression for ours, _ in saving.pairs if ours.compression]
    bits = [report.settings.get("bits") for report in reports]
    known = [32.0 - one for one in bits if isinstance(one, int | float)]
    intervals = [report.interval for report in reports if report.interval is not None]
    if not known:
        return None
    (mean,) = means([known])
    if mean.low is None or mean.high is None or len(intervals) < len(known):
        return mean
    low = min(mean.low, *(32.0 - most for _, most in intervals))
    high = max(mean.high, *(32.0 - least for least, _ in intervals))
    return Estimate(mean.value, low, high, mean.pairs)


def _show_energy(saving: Saving, estimate: Estimate | None) -> str:
    return saving.text


def _show_drop(saving: Saving, estimate: Estimate | None) -> str:
    """Return the drop at the saving's own compression rate."""
    rate = _rate(saving)
    drop = _interval(points(estimate.value if estimate else None), estimate, "+.2f")
    return drop if rate is None else f"{drop} at {percent(rate.value, 0)}"


def _show_time(saving: Saving, estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return _interval(f"{estimate.value:.2f}", estimate, ".2f") + " of the time"


def _interval(text: str, estimate: Estimate | None, digits: str) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{estimate.low:{digits}}, {estimate.high:{digits}}]"


def _beyond_noise(saving: Saving) -> Estimate | None:
    """Return the ratio of energies; one within the noise floor lies on neither side of 1."""
    one = saving.energy
    if one is None or saving.effect != NONE or one.low is None or one.high is None:
        return one
    return Estimate(one.value, min(one.low, 1.0 - _CLOSE), max(one.high, 1.0 + _CLOSE), one.pairs)


_NO_SAVING = _Quantity(
    _beyond_noise,
    lambda claim: (1.0, math.inf),
    _show_energy,
    by_epochs=True,
    energy=True,
    logarithmic=True,
)
_QUANTITIES: dict[str, _Quantity] = {
    "saving_at_least": _Quantity(
        lambda saving: saving.energy,
        lambda claim: (0.0, 1.0 - claim.bound),
        _show_energy,
        by_epochs=True,
        energy=True,
        logarithmic=True,
    ),
    "time_at_most": _Quantity(
        _time,
        lambda claim: (0.0, claim.bound),
        _show_time,
        by_epochs=True,
        logarithmic=True,
    ),
    "saves": _Quantity(
        _beyond_noise,
        lambda claim: (0.0, 1.0 - _CLOSE),
        _show_energy,
        of_bits=False,
        by_epochs=True,
        energy=True,
        logarithmic=True,
    ),
    "no_saving": _NO_SAVING,
    "many_epochs": _NO_SAVING,
    "drop_at_most": _Quantity(
        lambda saving: saving.drop, lambda claim: (-math.inf, claim.bound + _CLOSE), _show_drop
    ),
    "drop_beyond": _Quantity(
        lambda saving: saving.drop, lambda claim: (claim.bound + _CLOSE, math.inf), _show_drop
    ),
    "bits_kept_at_most": _Quantity(
        _bits_kept,
        lambda claim: (-math.inf, claim.bound),
        lambda saving, one: "-" if one is None else f"{one.value:g} of 32 bits",
        trained=False,
    ),
    "compression_between": _Quantity(
        _rate,
        lambda claim: (claim.low, claim.bound),
        lambda saving, one: percent(one.value if one else None, 0),
        trained=False,
    ),
}
