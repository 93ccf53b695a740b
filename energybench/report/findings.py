"""The findings of the studies, as sentences made from their numbers."""

from collections.abc import Callable

from energybench.records.metric import ACCURACY
from energybench.records.studies import InferencePoint
from energybench.report.figures.study_curves import (
    CONTROLS,
    by_tolerance,
    compared_controls,
    equalized,
)
from energybench.report.headline import change, listed
from energybench.report.savings import Saving
from energybench.report.scores import mean_drop
from energybench.report.sections import Section
from energybench.report.text import number


def finding(name: str, section: Section) -> str:
    """Return a few sentences on the figure `name` of `section`; "" if there is no finding."""
    return " ".join(_FINDINGS[name](section)) if name in _FINDINGS else ""


def _tolerance(section: Section) -> list[str]:
    """Compare the first and the last tolerance of each model and method."""
    lines = []
    for (model, method), savings in by_tolerance(section).items():
        first, last = savings[0], savings[-1]
        metric = last.metric or ACCURACY
        drop = "" if last.drop is None else f", at a drop of {mean_drop(metric, last.drop)}"
        unit = "points" if metric.is_share else metric.unit
        least = f"{first.pairs[0][0].tolerance:g} {unit}".rstrip()
        lines.append(
            f"{model} {method}: at {least} it "
            f"{change(first.energy)}, at {last.pairs[0][0].tolerance:g} it "
            f"{change(last.energy)}{drop}."
        )
    return lines


def _compositions(section: Section) -> list[str]:
    lines = []
    for model in section.models:
        own = [one for one in section.known if one.model == model]
        singles = [one for one in own if "+" not in one.method]
        combined = [one for one in own if "+" in one.method]
        if not singles or not combined:
            continue
        best, other = (max(found, key=_saved) for found in (singles, combined))
        if _saved(other) > _saved(best):
            lead = f"{model}: the best combination, {other.method}, {change(other.energy)};"
            lines.append(f"{lead} the best single method, {best.method}, {change(best.energy)}.")
        else:
            lead = f"{model}: no combination saves more than {best.method} alone, which"
            lines.append(
                f"{lead} {change(best.energy)}; the best, {other.method}, {change(other.energy)}."
            )
    return lines


def _saved(saving: Saving) -> float:
    return saving.saved or 0.0


def _budget(section: Section) -> list[str]:
    return [
        f"{one.model} {one.method}, in the baseline's epochs, {change(one.energy)} and drops by "
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
            (one for one in found if one.model == model), key=lambda s: CONTROLS.index(s.method)
        )
        clauses = listed([f"{one.method} {change(one.energy)}" for one in own])
        lines.append(f"{model}: {clauses}.")
        stego = next(one for one in own if one.method == "stego")
        parts = stego.factors.ratios if stego.factors else {}
        if parts:
            named = ", ".join(f"{name} x {value:.2f}" for name, value in parts.items())
            lines.append(f"What stego changes: {named}.")
    return lines


def _roofline(section: Section) -> list[str]:
    lines = []
    for one in section.intensities:
        if one.method != "baseline":
            continue
        knee = one.ceiling_flops_per_s / one.ceiling_bytes_per_s
        bound = "arithmetic" if one.intensity > knee else "memory"
        lines.append(
            f"{one.model}: {number(one.intensity)} operations per byte, where this device turns "
            f"from memory to arithmetic at {number(knee)}: bounded by {bound}. A step reaches "
            f"{100 * one.flops_per_s / one.ceiling_flops_per_s:.0f} % of the ceiling."
        )
    return lines


def _inference(section: Section) -> list[str]:
    """Compare each method with the baseline, at the smallest and the largest batch."""
    lines = []
    bases = {one.model: one for one in section.inferences if one.method == "baseline"}
    for one in section.inferences:
        base = bases.get(one.model)
        if base is None or one is base:
            continue
        clauses = [
            f"{_less(ours, theirs)} at batch {ours.batch_size}"
            for ours, theirs in zip(one.points, base.points, strict=True)
            if ours.batch_size in (one.points[0].batch_size, one.points[-1].batch_size)
        ]
        lines.append(f"{one.model} {one.method} [{one.precision}] takes {' and '.join(clauses)}.")
    return lines


def _less(ours: InferencePoint, theirs: InferencePoint) -> str:
    first, second = ours.joules_per_1000_images, theirs.joules_per_1000_images
    if first is None or not second:
        return "an unknown energy"
    percent = 100 * (first / second - 1.0)
    return f"{abs(percent):.0f} % {'less' if percent < 0 else 'more'} energy than the baseline"


_FINDINGS: dict[str, Callable[[Section], list[str]]] = {
    "tolerance": _tolerance,
    "compositions": _compositions,
    "budget": _budget,
    "controls": _controls,
    "roofline": _roofline,
    "inference": _inference,
}
