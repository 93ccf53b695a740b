"""What a run says of the question that the paper leaves open: does its result hold for language?

Each method is judged as the paper's claims are, on all language models of a section together, and
the sentences are made from the verdicts. They end with what limits them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from energybench.records.attempt import DISTURBANCES
from energybench.records.record import RunRecord
from energybench.registry import BASELINE
from energybench.report.claims import Claim
from energybench.report.headline import change, listed, reservations
from energybench.report.paper import (
    CANNOT,
    NOT,
    REPRODUCED,
    UNDECIDED,
    Judgement,
    as_in_the_paper,
    judge,
    paper,
)
from energybench.report.savings import CONTROL, Saving
from energybench.report.sections import Section
from energybench.report.text import number

TITLE = "Language models, which the paper leaves open"
HOLDS, FAILS = "holds", "does not hold"
_WORDS = {REPRODUCED: HOLDS, NOT: FAILS}


@dataclass(frozen=True)
class OpenQuestion:
    """The answer of one section."""

    text: str
    """Sentences: the verdicts, what was seen, and what limits them."""
    judged: tuple[Judgement, ...]
    """Each with a verdict of `HOLDS`, `FAILS`, `UNDECIDED` or `CANNOT`."""


def open_question(section: Section) -> OpenQuestion | None:
    """Return what the language models of `section` say; None where it has none with a saving.

    Cells at another tolerance or budget than the paper's are left out.
    """
    records = tuple(one for one in section.records if one.dataset.item == "token")
    own = replace(section, records=records)
    savings = [one for one in as_in_the_paper(own.known) if not one.method.startswith(CONTROL)]
    if not savings:
        return None
    methods = [name for name in own.methods if any(one.method == name for one in savings)]
    models = [name for name in own.models if any(one.model == name for one in savings)]
    judged = [_said(judge(claim, savings)) for claim in _claims(models, methods)]
    sentences = [
        "The paper leaves open whether its result holds for language models.",
        *_verdicts([one for one in judged if one.claim.check == "saves"]),
        *_seen(savings, models),
        _basis(own, models),
        _disturbed(own, models),
        *reservations(own),
    ]
    return OpenQuestion(" ".join(filter(None, sentences)), tuple(judged))


def _claims(models: Sequence[str], methods: Sequence[str]) -> list[Claim]:
    """Return the open claims of `paper.toml`, filled in with the models and methods of a run."""
    claims = []
    for fields in paper().open:
        for method in [fields["method"]] if "method" in fields else methods:
            own = {"text": fields["text"].format(method=method), "method": method}
            claims.append(Claim(**(fields | own | {"models": tuple(models)})))
    return claims


def _said(judgement: Judgement) -> Judgement:
    return replace(judgement, verdict=_WORDS.get(judgement.verdict, judgement.verdict))


def _verdicts(judged: Sequence[Judgement]) -> list[str]:
    """Return a sentence per verdict on whether methods save energy."""
    by_verdict: dict[str, list[Judgement]] = {}
    for one in judged:
        by_verdict.setdefault(one.verdict, []).append(one)
    words = (
        (HOLDS, "Beyond doubt, {} here.", "saves energy", "save energy"),
        (FAILS, "Beyond doubt, {} here.", "saves no energy", "save no energy"),
        (UNDECIDED, "{}.", "is undecided", "are undecided"),
    )
    lines = []
    for verdict, sentence, single, several in words:
        found = by_verdict.get(verdict, [])
        if found:
            clause = f"{_names(found)} {single if len(found) == 1 else several}"
            lines.append(_capital(sentence.format(clause)))
    by_reason: dict[str, list[Judgement]] = {}
    for one in by_verdict.get(CANNOT, []):
        by_reason.setdefault(one.reason, []).append(one)
    lines += [
        _capital(f"{_names(found)} cannot be judged ({reason}).")
        for reason, found in by_reason.items()
    ]
    return lines


def _names(judged: Sequence[Judgement]) -> str:
    return listed([one.claim.method or "any method" for one in judged])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _seen(savings: Sequence[Saving], models: Sequence[str]) -> list[str]:
    lines = []
    for model in models:
        own = [one for one in savings if one.model == model]
        clauses = [
            f"{one.method} {change(one)}{', beyond the tolerance' if one.beyond else ''}"
            for one in own
        ]
        lines.append(f"Seen on {model}: {'; '.join(clauses)}.")
    return lines


def _basis(section: Section, models: Sequence[str]) -> str:
    """Return a sentence on the models, their sizes and weights, the text and the seeds."""
    records = [one for one in section.finished if one.model in models]
    told = listed([_described(model, records) for model in models])
    count = "one model" if len(models) == 1 else f"{len(models)} models"
    data = listed(list(dict.fromkeys(one.dataset.name for one in records)))
    lengths = dict.fromkeys(one.dataset.details.get("block_length") for one in records)
    known = [str(one) for one in lengths if one is not None]
    blocks = f", in blocks of {listed(known)} tokens" if known else ""
    return f"This rests on {count}, {told}, fine-tuned on {data}{blocks}, with {_seeds(records)}."


def _seeds(records: Sequence[RunRecord]) -> str:
    """Return "one seed", "5 seeds", or the number of each model where they differ."""
    by_model: dict[str, set[int]] = {}
    for one in records:
        by_model.setdefault(one.model, set()).add(one.seed)
    counts = {model: len(seeds) for model, seeds in by_model.items()}
    if len(set(counts.values())) > 1:
        return listed([f"{_count(count)} of {model}" for model, count in counts.items()])
    return _count(next(iter(counts.values())))


def _count(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"{seeds} seeds"


def _disturbed(section: Section, models: Sequence[str]) -> str:
    """Return a sentence on the cells whose energy other programs changed; "" without any."""
    records = [one for one in section.finished if one.model in models]
    found = [set(DISTURBANCES) & set(one.flags) for one in records]
    count = sum(map(bool, found))
    if not count:
        return ""
    flags = listed(sorted(set().union(*found)))
    many = "was" if count == 1 else "were"
    return f"{count} of {len(records)} cells {many} disturbed while training ({flags})."


def _described(model: str, records: Sequence[RunRecord]) -> str:
    """Return "gpt2-tiny (2 million parameters, pretrained on ...)", as far as it is known."""
    bases = [one for one in records if one.model == model and one.method == BASELINE]
    sizes = dict.fromkeys(one.parameters for one in bases if one.parameters)
    facts = [f"{number(size / 1e6)} million parameters" for size in sizes]
    facts += dict.fromkeys(one.weights.source for one in bases if one.weights.source)
    return f"{model} ({', '.join(facts)})" if facts else model
