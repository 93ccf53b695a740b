"""The claims of arXiv 2506.01311 beside the findings of a run."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import fmean

from energybench.records.metric import ACCURACY
from energybench.report.comparison import finetune_s
from energybench.report.savings import Saving
from energybench.report.text import percent, points

REPRODUCED, PARTLY, NOT = "reproduced", "partly reproduced", "not reproduced"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper, with its figures."""

    text: str
    check: str
    """Name of the function in this module that judges the claim."""
    bound: float | None = None
    low: float | None = None
    method: str | None = None
    models: tuple[str, ...] = ()
    """The models that the claim names; () for all measured models."""


@dataclass(frozen=True)
class Paper:
    """The contents of `paper.toml`."""

    title: str
    url: str
    conditions: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Judgement:
    """A claim, and the verdict of a run on it."""

    claim: Claim
    verdict: str
    """`REPRODUCED`, `PARTLY` (on some of the models), `NOT` or `NOT_MEASURED`."""
    found: str
    """The figures of the run for the same quantity."""

    @property
    def measured(self) -> bool:
        """Whether the run has cells that the claim is about."""
        return self.verdict != NOT_MEASURED


@cache
def paper() -> Paper:
    """Return the paper's claims, read from `paper.toml`."""
    data = tomllib.loads(files(__package__).joinpath("paper.toml").read_text(encoding="utf-8"))
    claims = tuple(
        Claim(**(claim | {"models": tuple(claim.get("models", ()))})) for claim in data["claim"]
    )
    return Paper(data["title"], data["url"], data["conditions"], claims)


def judgements(savings: Sequence[Saving]) -> list[Judgement]:
    """Judge every claim by `savings`, on any data and hardware.

    The paper classifies images, so cells with another metric than accuracy are left out.
    """
    accurate = [one for one in savings if one.metric in (None, ACCURACY)]
    return [_CHECKS[claim.check](claim, accurate) for claim in paper().claims]


def _per_model(
    claim: Claim,
    savings: Sequence[Saving],
    value: Callable[[Saving], float | None],
    holds: Callable[[float], bool],
    show: Callable[[float], str],
) -> Judgement:
    """Judge a claim model by model."""
    found = {
        saving.model: measured
        for saving in savings
        if saving.method == claim.method and (not claim.models or saving.model in claim.models)
        if (measured := value(saving)) is not None
    }
    missing = [model for model in claim.models if model not in found]
    if not found:
        return Judgement(claim, NOT_MEASURED, "-")
    count = sum(holds(measured) for measured in found.values())
    text = f"on {count} of {len(found)}: " + ", ".join(
        f"{model} {show(measured)}" for model, measured in found.items()
    )
    if missing:
        text += f"; not measured: {', '.join(missing)}"
    return Judgement(claim, _verdict(count, len(found)), text)


def _verdict(count: int, of: int) -> str:
    if count == of:
        return REPRODUCED
    return PARTLY if count else NOT


def _saving_at_least(claim: Claim, savings: Sequence[Saving]) -> Judgement:
    return _per_model(
        claim, savings, lambda one: one.saved, lambda x: x >= _bound(claim), _signed_percent
    )


def _time_at_most(claim: Claim, savings: Sequence[Saving]) -> Judgement:
    def ratio(saving: Saving) -> float | None:
        ours = [finetune_s(record) for record, _ in saving.pairs]
        theirs = [finetune_s(base) for _, base in saving.pairs]
        if None in ours or None in theirs:
            return None
        return fmean(s or 0.0 for s in ours) / fmean(s or 0.0 for s in theirs)

    return _per_model(
        claim, savings, ratio, lambda x: x <= _bound(claim), lambda x: f"{x:.2f} of the time"
    )


def _drop(saving: Saving) -> float | None:
    return None if saving.drop is None else saving.drop.value


def _drop_at_most(claim: Claim, savings: Sequence[Saving]) -> Judgement:
    return _per_model(claim, savings, _drop, lambda x: x <= _bound(claim) + 1e-9, points)


def _drop_beyond(claim: Claim, savings: Sequence[Saving]) -> Judgement:
    """Judge that the accuracy falls by more than the bound, at the compression rate of the run."""

    def show(drop: float) -> str:
        rates = {_drop(one): _rate(one) for one in savings if one.method == claim.method}
        return f"{points(drop)} at {percent(rates.get(drop), 0)}"

    return _per_model(claim, savings, _drop, lambda x: x > _bound(claim) + 1e-9, show)


def _rate(saving: Saving) -> float | None:
    rates = [ours.compression.compression_rate for ours, _ in saving.pairs if ours.compression]
    return fmean(rates) if rates else None


def _compression_between(claim: Claim, savings: Sequence[Saving]) -> Judgement:
    low = claim.low or 0.0
    return _per_model(
        claim, savings, _rate, lambda x: low <= x <= _bound(claim), lambda x: percent(x, 0)
    )


def _bits_kept_at_most(claim: Claim, savings: Sequence[Saving]) -> Judgement:
    def kept(saving: Saving) -> float | None:
        bits = [
            ours.compression.settings.get("bits") for ours, _ in saving.pairs if ours.compression
        ]
        known = [float(one) for one in bits if isinstance(one, int | float)]
        return 32.0 - fmean(known) if known else None

    return _per_model(
        claim, savings, kept, lambda x: x <= _bound(claim), lambda x: f"{x:g} of 32 bits"
    )


def _not_on_every_model(claim: Claim, savings: Sequence[Saving]) -> Judgement:
    """Judge that there is a model, of two or more, on which the method does not save energy."""
    found = {one.model: one.saved for one in savings if one.method == claim.method}
    known = {model: saved for model, saved in found.items() if saved is not None}
    if len(known) < 2:
        return Judgement(claim, NOT_MEASURED, "-")
    saving = [model for model, saved in known.items() if saved > 0.0]
    verdict = NOT if len(saving) == len(known) else REPRODUCED
    text = f"saves on {len(saving)} of {len(known)}: " + ", ".join(
        f"{model} {_signed_percent(saved)}" for model, saved in known.items()
    )
    return Judgement(claim, verdict, text)


def _many_epochs_cost(claim: Claim, savings: Sequence[Saving]) -> Judgement:
    """Judge that less than half of the cells with more epochs than the bound save energy."""

    def epochs(saving: Saving) -> float:
        ours = fmean(len(record.epochs) for record, _ in saving.pairs)
        return ours / (fmean(len(base.epochs) for _, base in saving.pairs) or 1.0)

    long = [one for one in savings if one.saved is not None and epochs(one) > _bound(claim)]
    if not long:
        return Judgement(claim, NOT_MEASURED, "no method took as many")
    saved = [one for one in long if (one.saved or 0.0) > 0.0]
    verdict = REPRODUCED if 2 * len(saved) < len(long) else NOT
    return Judgement(claim, verdict, f"{len(saved)} of {len(long)} such cells saved")


def _bound(claim: Claim) -> float:
    if claim.bound is None:
        raise ValueError(f"the claim {claim.text!r} has no bound")
    return claim.bound


def _signed_percent(share: float) -> str:
    return f"{100 * share:+.0f} %"


_CHECKS: dict[str, Callable[[Claim, Sequence[Saving]], Judgement]] = {
    "saving_at_least": _saving_at_least,
    "time_at_most": _time_at_most,
    "drop_at_most": _drop_at_most,
    "drop_beyond": _drop_beyond,
    "bits_kept_at_most": _bits_kept_at_most,
    "compression_between": _compression_between,
    "not_on_every_model": _not_on_every_model,
    "many_epochs_cost": _many_epochs_cost,
}
