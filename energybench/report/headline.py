"""The headline of a section: one or two sentences made from its numbers."""

from collections.abc import Sequence
from statistics import median

from energybench.report.savings import Saving
from energybench.report.sections import Section
from energybench.report.stats import MIN_PAIRS, Estimate
from energybench.report.text import TOO_FEW, interval
from energybench.report.text import saving as saving_text

_ESTIMATE = "Energy is an estimate here, not a measurement."
_CLAUSES = 5
"""Largest number of results that are named one by one."""


def headline(section: Section) -> str:
    """Return sentences on the methods that saved energy: how much, on which models, how surely."""
    savings = section.known
    if not section.rows and section.studies:
        text = "What single steps and answers cost, without any fine-tuning."
        return f"{text} {_ESTIMATE}" if section.estimated else text
    if not savings:
        return "No method here has a baseline with a known energy, so no saving is known."
    if len(section.models) == 1:
        text = _of_one_model(section, savings)
    else:
        text = _of_many_models(section, savings)
    return " ".join([text, *_reservations(section, savings)])


def _of_one_model(section: Section, savings: Sequence[Saving]) -> str:
    (model,) = section.models
    ranked = sorted(savings, key=lambda one: one.saved or 0.0, reverse=True)
    if len(ranked) <= _CLAUSES:
        return f"On {model} {listed([_clause(section, one) for one in ranked])}."
    saving = [one for one in ranked if (one.saved or 0.0) > 0.0]
    best, worst = ranked[0], ranked[-1]
    return (
        f"On {model} {len(saving)} of {len(ranked)} ways to compress save energy: at best "
        f"{_clause(section, best)}, at worst {_clause(section, worst)}."
    )


def _clause(section: Section, saving: Saving) -> str:
    """Return a clause such as "lowrank saves 34.3 % [34.0, 34.7]"."""
    label = section.labels[saving.key]
    name = f"{saving.method} ({label})" if label else saving.method
    return f"{name} {change(saving.energy)}{' beyond the tolerance' if saving.beyond else ''}"


def change(ratio: Estimate | None) -> str:
    """Return a ratio of energies as a clause: "saves 34.3 % [34.0, 34.7]", "costs 10.0 % more".

    A mean of two to four seeds is followed by "(too few for an interval)".
    """
    if ratio is None:
        return "has no known energy"
    low, high = ratio.low, ratio.high
    if low is not None and high is not None and low <= 1.0 <= high:
        return f"shows no clear saving ({saving_text(ratio)})"
    change = 100 * (1.0 - ratio.value)
    ends = interval(ratio, lambda end: f"{100 * abs(1.0 - end):.1f}", turned=change > 0)
    return f"saves {change:.1f} %{ends}" if change > 0 else f"costs {-change:.1f} % more{ends}"


def _of_many_models(section: Section, savings: Sequence[Saving]) -> str:
    clauses = []
    for method in section.methods:
        found = [one for one in savings if one.method == method]
        if not found:
            continue
        good = [one for one in found if (one.saved or 0.0) > 0.0 and not one.beyond]
        middle = median(one.saved or 0.0 for one in found)
        clauses.append(
            f"{method} saves energy within the tolerance on {len(good)} of {len(found)} models "
            f"(median of all {100 * middle:+.0f} %)"
        )
    text = listed(clauses)
    return f"{text[:1].upper()}{text[1:]}."


def _reservations(section: Section, savings: Sequence[Saving]) -> list[str]:
    lines = []
    if section.estimated:
        lines.append(_ESTIMATE)
    seeds = max(len(one.pairs) for one in savings)
    if seeds == 1:
        lines.append("One seed: there are no intervals, and small differences mean nothing.")
    elif seeds < MIN_PAIRS:
        lines.append(f"{seeds} seeds are {TOO_FEW}: small differences mean nothing.")
    return lines


def listed(clauses: Sequence[str]) -> str:
    """Return `clauses` joined by commas and a last "and"."""
    if len(clauses) < 2:
        return "".join(clauses)
    return f"{', '.join(clauses[:-1])} and {clauses[-1]}"
