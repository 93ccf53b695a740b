"""The findings of the studies, as sentences made from their numbers."""

from collections.abc import Callable

from energybench.records.metric import ACCURACY
from energybench.records.record import RunRecord
from energybench.registry import BASELINE, base_name
from energybench.report.answers import generation_finding, inference_finding
from energybench.report.figures.study_curves import (
    CONTROLS,
    by_tolerance,
    compared_controls,
    equalized,
)
from energybench.report.headline import change, clause, listed
from energybench.report.operating_points import operating_finding
from energybench.report.savings import CONTROL, Saving, energy_ratios
from energybench.report.scores import mean_drop
from energybench.report.sections import Section
from energybench.report.text import number
from energybench.report.text import saving as saving_text


def finding(name: str, section: Section) -> str:
    """Return a few sentences on the figure `name` of `section`; "" if there is no finding."""
    return " ".join(_FINDINGS[name](section)) if name in _FINDINGS else ""


def _tolerance(section: Section) -> list[str]:
    """Say which tolerances were one experiment, and compare the least with the largest."""
    lines = []
    for (model, method), savings in by_tolerance(section).items():
        groups = _experiments(savings)
        least, most = groups[0], groups[-1]
        lines += [
            f"{model} {method}: {_tolerances(group)} are one experiment, run {len(group)} times, "
            "because the search found the same setting."
            for group in groups
            if len(group) > 1
        ]
        if least is most:
            lines.append(f"{model} {method}: a larger tolerance changed nothing.")
            continue
        last = most[-1]
        metric = last.metric or ACCURACY
        drop = "" if last.drop is None else f", at a drop of {mean_drop(metric, last.drop)}"
        lines.append(
            f"{model} {method}: {_tolerances([last])} against {_tolerances([least[0]])}: "
            f"{_paired(last, least[0])}{drop}."
        )
    return lines


def _experiments(savings: list[Saving]) -> list[list[Saving]]:
    """Group savings by rising tolerance: a group has the same settings in every seed."""
    groups: list[list[Saving]] = []
    for one in savings:
        if groups and _settings(groups[-1][-1]) == _settings(one):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _settings(saving: Saving) -> dict[int, object]:
    """Return seed -> what the search found; of a cell without a report, something of its own."""
    return {
        ours.seed: ours.compression.settings if ours.compression and _searched(ours) else id(ours)
        for ours, _ in saving.pairs
    }


def _searched(record: RunRecord) -> bool:
    report = record.compression
    return report is not None and bool(report.settings or report.no_effect)


def _tolerances(savings: list[Saving]) -> str:
    metric = savings[0].metric or ACCURACY
    unit = "points" if metric.is_share else metric.unit
    values = listed([f"{one.pairs[0][0].tolerance:g}" for one in savings])
    return f"{values} {unit}".rstrip()


def _paired(saving: Saving, other: Saving) -> str:
    """Compare two savings by their energies on the same seeds."""
    theirs = {ours.seed: ours for ours, _ in other.pairs}
    pairs = [(ours, theirs[ours.seed]) for ours, _ in saving.pairs if ours.seed in theirs]
    (ratio,) = energy_ratios([pairs], "kwh")
    if ratio is None:
        return "no seed to compare them by"
    shown = saving_text(ratio)
    if ratio.low is None or ratio.high is None:
        count = "one seed" if ratio.pairs == 1 else f"{ratio.pairs} seeds"
        return f"no difference shown ({shown}, {count})"
    within = saving.noise is not None and saving.noise.covers(ratio)
    if within or ratio.low <= 1.0 <= ratio.high:
        return f"no difference shown ({shown})"
    return clause(ratio)


def _compositions(section: Section) -> list[str]:
    """Compare the best combination with the best single method, seed by seed."""
    lines = []
    for model in section.models:
        own = [one for one in section.known if one.model == model]
        own = [one for one in own if not one.method.startswith(CONTROL)]
        singles = [one for one in own if "+" not in one.method]
        combined = [one for one in own if "+" in one.method]
        if not singles or not combined:
            continue
        best, other = (max(found, key=_saved) for found in (singles, combined))
        lines.append(
            f"{model}: the best single method, {best.method}, {change(best)}; the best "
            f"combination, {other.method}, against it: {_paired(other, best)}."
        )
    return lines


def _saved(saving: Saving) -> float:
    return saving.saved or 0.0


def _budget(section: Section) -> list[str]:
    return [
        f"{one.model} {one.method}, in the baseline's epochs, {change(one)} and drops by "
        f"{mean_drop(one.metric or ACCURACY, one.drop)} in the mean"
        + (", beyond the tolerance." if one.drop.value > one.pairs[0][0].tolerance else ".")
        for one in equalized(section)
        if one.drop is not None
    ]


def _controls(section: Section) -> list[str]:
    found = compared_controls(section)
    lines = []
    for model in dict.fromkeys(one.model for one in found):
        own = sorted(
            (one for one in found if one.model == model),
            key=lambda saving: (CONTROLS.index(base_name(saving.method)), saving.method),
        )
        clauses = listed([f"{one.method} {change(one)}" for one in own])
        lines.append(f"{model}: {clauses}.")
        stego = next((one for one in own if one.method == "stego"), None)
        parts = stego.factors.ratios if stego and stego.factors else {}
        if parts:
            named = ", ".join(f"{name} x {value:.2f}" for name, value in parts.items())
            lines.append(f"What stego changes: {named}.")
    return lines


def _roofline(section: Section) -> list[str]:
    lines = []
    for one in section.intensities:
        if one.method != BASELINE:
            continue
        knee = one.ceiling_flops_per_s / one.ceiling_bytes_per_s
        bound = "arithmetic" if one.intensity > knee else "memory"
        which = f"{one.model}, compiled" if one.compiled else one.model
        lines.append(
            f"{which}: {number(one.intensity)} operations per byte, where this device turns "
            f"from memory to arithmetic at {number(knee)}: bounded by {bound}. A step reaches "
            f"{100 * one.flops_per_s / one.ceiling_flops_per_s:.0f} % of the ceiling."
        )
    return lines


def _operating(section: Section) -> list[str]:
    return operating_finding(section.operating_points)


_FINDINGS: dict[str, Callable[[Section], list[str]]] = {
    "tolerance": _tolerance,
    "compositions": _compositions,
    "budget": _budget,
    "controls": _controls,
    "roofline": _roofline,
    "inference": inference_finding,
    "generation": generation_finding,
    "operating-point": _operating,
}
