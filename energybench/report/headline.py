"""The headline of a section: one or two sentences made from its numbers."""

from collections.abc import Sequence
from statistics import median

from energybench.records.stopping import at_floor
from energybench.registry import BASELINE
from energybench.report.savings import NONE, Saving
from energybench.report.sections import Section
from energybench.report.stats import MIN_PAIRS, Estimate
from energybench.report.text import interval
from energybench.report.text import saving as saving_text

_ESTIMATE = "Energy is an estimate here, not a measurement."
_CLAUSES = 5
"""Largest number of results that are named one by one."""


def headline(section: Section) -> str:
    """Return sentences on the methods that saved energy: how much, on which models, how surely."""
    savings = section.known
    if not section.rows and len(section.checks) == len(section.studies) > 0:
        return _of_checks(section)
    if not section.rows and section.studies:
        text = "What single steps and answers cost, without any fine-tuning."
        if section.operating_points:
            text = "What a fine-tuning costs by batch size, arithmetic and power limit."
        return f"{text} {_ESTIMATE}" if section.estimated else text
    if not savings and section.rows and all(one.script for one in section.finished):
        text = "What scripts took. None has a baseline beside it, so no saving is known."
        return f"{text} {_ESTIMATE}" if section.estimated else text
    if not savings:
        return "No method here has a baseline with a known energy, so no saving is known."
    if len(section.models) == 1:
        text = _of_one_model(section, savings)
    else:
        text = _of_many_models(section, savings)
    return " ".join([text, *reservations(section)])


def _of_checks(section: Section) -> str:
    """Return how many of the questions to a machine were answered as expected."""
    held, not_held, unasked = (
        sum(one.held is True for one in section.checks),
        sum(one.held is False for one in section.checks),
        sum(not one.found for one in section.checks),
    )
    return (
        f"{len(section.checks)} checks of this machine, without any fine-tuning: {held} as "
        f"expected, {not_held} not, {unasked} could not be made; the others have no expectation."
    )


def _of_one_model(section: Section, savings: Sequence[Saving]) -> str:
    (model,) = section.models
    ranked = sorted(savings, key=lambda one: one.saved or 0.0, reverse=True)
    if len(ranked) <= _CLAUSES:
        return f"On {model} {listed([_clause(section, one) for one in ranked])}."
    best, worst = ranked[0], ranked[-1]
    return (
        f"On {model} {_count(ranked)} of {len(ranked)} ways to compress {_verb(ranked)}: at best "
        f"{_clause(section, best)}, at worst {_clause(section, worst)}."
    )


def _clause(section: Section, saving: Saving) -> str:
    """Return a clause such as "lowrank saves 34.3 % [34.0, 34.7]"."""
    label = section.labels[saving.key]
    name = f"{saving.method} ({label})" if label else saving.method
    return f"{name} {change(saving)}{' beyond the tolerance' if saving.beyond else ''}"


def change(saving: Saving) -> str:
    """Return a saving as a clause: "saves 34.3 % [34.0, 34.7]", "costs 10.0 % [9.1, 10.9] more".

    Only an interval on one side of zero, outside the noise floor, is called a saving or a cost. Too
    few seeds for an interval are only told: "took 34.3 % less energy".
    """
    ratio, effect = saving.energy, saving.effect
    if ratio is None:
        return "has no known energy"
    if effect == NONE and saving.noise is not None:
        return f"shows no difference beyond the noise floor ({saving.noise.text(ratio.pairs)})"
    return clause(ratio)


def clause(ratio: Estimate) -> str:
    """Return a ratio of energies as a clause, without a look at the noise floor."""
    low, high = ratio.low, ratio.high
    percent = 100 * (1.0 - ratio.value)
    if low is not None and high is not None and low <= 1.0 <= high:
        return f"shows no clear saving ({saving_text(ratio)})"
    ends = interval(ratio, lambda end: f"{100 * abs(1.0 - end):.1f}", turned=percent > 0)
    if low is None or high is None:
        return f"took {abs(percent):.1f} % {'less' if percent > 0 else 'more'} energy{ends}"
    return f"saves {percent:.1f} %{ends}" if percent > 0 else f"costs {-percent:.1f} %{ends} more"


def _of_many_models(section: Section, savings: Sequence[Saving]) -> str:
    clauses = []
    for method in section.methods:
        found = [one for one in savings if one.method == method]
        if not found:
            continue
        within = [one for one in found if not one.beyond]
        middle = median(one.saved or 0.0 for one in found)
        judged = not any(ours.script for one in found for ours, _ in one.pairs)
        where = "models within the tolerance" if judged else "models"
        clauses.append(
            f"{method} {_verb(found)} on {_count(within)} of {len(found)} {where} "
            f"(median of all {100 * middle:+.0f} %)"
        )
    text = listed(clauses)
    return f"{text[:1].upper()}{text[1:]}."


def _count(savings: Sequence[Saving]) -> int:
    return sum(one.lower for one in savings)


def _verb(savings: Sequence[Saving]) -> str:
    sure = all(len(one.pairs) >= MIN_PAIRS for one in savings)
    return "saved energy beyond doubt" if sure else "took less energy"


def reservations(section: Section) -> list[str]:
    """Return sentences on what limits all savings of a section."""
    lines, savings = [], section.known
    if section.estimated:
        lines.append(_ESTIMATE)
    if not savings:
        return lines
    seeds = max(len(one.pairs) for one in savings)
    if seeds < MIN_PAIRS:
        few = "One seed" if seeds == 1 else f"{seeds} seeds"
        lines.append(f"{few}: there are no intervals, so nothing is concluded.")
    return [*lines, *_at_floor(section), _noise(section)]


def _at_floor(section: Section) -> list[str]:
    bases = [record for record in section.finished if record.method == BASELINE]
    found = [record for record in bases if at_floor(record)]
    if not found:
        return []
    who = "The baseline" if len(bases) == 1 else f"{len(found)} of {len(bases)} baselines"
    where = " or ".join(dict.fromkeys(str(len(record.epochs)) for record in found))
    return [
        f"{who} stopped after {where} epochs, the fewest that the protocol allows: there no method "
        "can save epochs, so this run neither confirms nor refutes such a saving."
    ]


def _noise(section: Section) -> str:
    noise = section.noise
    if noise is None:
        return "No baseline was repeated, so the noise of a saving is not known."
    times = "once" if noise.freedom == 1 else f"{noise.freedom} times"
    return f"Noise floor of one pair of cells: {noise.text()} (the baseline was repeated {times})."


def listed(clauses: Sequence[str]) -> str:
    """Return `clauses` joined by commas and a last "and"."""
    if len(clauses) < 2:
        return "".join(clauses)
    return f"{', '.join(clauses[:-1])} and {clauses[-1]}"
