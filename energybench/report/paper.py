"""The claims of arXiv 2506.01311 beside the findings of a run.

A claim is judged model by model, by the interval of the quantity that it is about: it holds beyond
doubt where the whole interval agrees with it, and is refuted beyond doubt where no part does. Then
the models are counted. With n models of which k have to agree, the claim is reproduced where k
hold, and not reproduced where more than n - k are refuted. To be wrong about the count, one of
n - k + 1 models has to hold by chance, or one of k to be refuted by chance; the intervals are
widened for as many looks (C. Bonferroni; see `evidence.Evidence.holds`).
"""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from energybench.records.metric import ACCURACY
from energybench.report.claims import Claim
from energybench.report.evidence import Evidence, evidence, has_many_epochs
from energybench.report.savings import CONTROL, Saving

REPRODUCED, NOT = "reproduced", "not reproduced"
UNDECIDED, CANNOT = "undecided", "cannot be judged"


@dataclass(frozen=True)
class Paper:
    """The contents of `paper.toml`."""

    title: str
    url: str
    conditions: str
    claims: tuple[Claim, ...]
    open: tuple[dict[str, Any], ...]
    """Claims on language models, which the paper leaves open: fields of a `Claim` without models;
    one without a method is about each method."""


@dataclass(frozen=True)
class Judgement:
    """A claim, and the verdict of a run on it."""

    claim: Claim
    verdict: str
    """`REPRODUCED`, `NOT`, `UNDECIDED` (intervals hold both) or `CANNOT`."""
    reason: str
    """How many models hold and refute it, or why it cannot be judged."""
    found: str
    """The figures of the run for the same quantity; "-" without any."""

    @property
    def has_cells(self) -> bool:
        """Whether the run has cells that the claim is about."""
        return self.found != "-"


@cache
def paper() -> Paper:
    """Return the paper's claims, read from `paper.toml`."""
    data = tomllib.loads(files(__package__).joinpath("paper.toml").read_text(encoding="utf-8"))
    claims = []
    for claim in data["claim"]:
        models = data["nine"] if claim["models"] == "nine" else claim["models"]
        claims.append(Claim(**(claim | {"models": tuple(models)})))
    texts = data["title"], data["url"], data["conditions"]
    return Paper(*texts, tuple(claims), tuple(data["open"]))


def judgements(savings: Sequence[Saving]) -> list[Judgement]:
    """Judge every claim by `savings`, on any data and hardware.

    The paper classifies images, so cells with another metric than accuracy are left out.
    """
    accurate = [one for one in savings if one.metric in (None, ACCURACY)]
    return [judge(claim, accurate) for claim in paper().claims]


def as_in_the_paper(savings: Iterable[Saving]) -> list[Saving]:
    """Return the savings of cells that stop early at a tolerance of 1 point, as in the paper."""
    return [saving for saving in savings if _protocol(saving) == (1.0, "early-stopping")]


def _protocol(saving: Saving) -> tuple[float, str | None]:
    record = saving.pairs[0][0]
    return record.tolerance, record.protocol.budget


def judge(claim: Claim, savings: Sequence[Saving]) -> Judgement:
    """Judge one claim by `savings`."""
    own = [one for one in savings if one.model in claim.models and _is_about(claim, one)]
    missing = [model for model in claim.models if model not in {one.model for one in own}]
    if claim.method is None:
        own = [one for one in own if has_many_epochs(claim, one)]
        needed = len(own) // 2 + 1
    else:
        own = list({one.model: one for one in own}.values())
        needed = claim.at_least or len(claim.models)
    found = [evidence(claim, one) for one in own]
    shown = ", ".join(f"{one.name} {one.shown}" for one in found) or "-"
    who = claim.method or "any method"
    if not any(_is_about(claim, one) for one in savings):
        reason = f"{claim.method} was not run" if claim.method else "no method was run"
        return Judgement(claim, CANNOT, reason, shown)
    if missing:
        return Judgement(claim, CANNOT, f"models missing for {who}: {', '.join(missing)}", shown)
    if not found:
        text = f"no method took over {claim.bound:g} times the baseline's epochs"
        return Judgement(claim, CANNOT, text, shown)
    verdict, reason = _count(found, needed)
    return Judgement(claim, verdict, reason, shown)


def _is_about(claim: Claim, saving: Saving) -> bool:
    if claim.method is not None:
        return saving.method == claim.method
    return not saving.method.startswith(CONTROL) and "+" not in saving.method


def _count(found: Sequence[Evidence], needed: int) -> tuple[str, str]:
    """Return the verdict on a claim that has to hold in `needed` of the cells, and its reason."""
    spare = len(found) - needed
    holding = sum(one.holds(looks=spare + 1) for one in found)
    refuted = sum(one.refuted(looks=needed) for one in found)
    text = f"holds on {holding} of {len(found)}, refuted on {refuted}"
    if holding >= needed:
        return REPRODUCED, text
    if refuted > spare:
        return NOT, text
    reasons: dict[str, list[str]] = {}
    for one in found:
        for obstacle in one.obstacles:
            reasons.setdefault(obstacle, []).append(one.name)
    if not reasons:
        return UNDECIDED, text
    return CANNOT, "; ".join(
        why if len(names) == len(found) else f"{why} ({', '.join(names)})"
        for why, names in reasons.items()
    )
