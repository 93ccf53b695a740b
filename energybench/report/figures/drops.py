"""The figure of the energy saved against the drop, model by model."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from energybench.records.metric import ACCURACY, Metric
from energybench.registry import BASELINE
from energybench.report.figures.dots import HOLLOW, named
from energybench.report.figures.labels import Line, name_points
from energybench.report.savings import Saving
from energybench.report.scores import of_one_metric, unit_in_words, with_unit
from energybench.report.sections import Section
from energybench.report.style import WIDTH, colour, legend_of, marker, name_axes, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float, Saving]
"""Drop in the metric's unit, energy saved in percent, and both in full."""
COSTS, TOO_FAR = "costs more than the baseline", "beyond the tolerance"
FRONT = "Pareto front of one model"
_UPON = 7.0
"""Pixels between points that lie upon each other."""
_FAR_PP = 4.0
"""Distance from 0, in percentage points, beyond which the axis of drops is logarithmic."""


def pareto_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw the energy saved against the drop, a panel per model, and each model's front.

    Savings and drops of two models are no choice, so no front joins them. Cells with another metric
    than the first cell's are left out.
    """
    points = _points(section)
    if not points:
        return None
    models = list(dict.fromkeys(one.model for _, _, one in points))
    figure, places = panels(len(models), width, height=2.6 if len(models) > 1 else 3.8)
    by_model = {model: [one for one in points if one[2].model == model] for model in models}
    for axes, (model, own) in zip(places, by_model.items(), strict=True):
        _draw(axes, own)
        varied = _varied(section, own)
        axes.set_title(f"{model}, by {varied}" if varied else model, fontsize=10)
    name_axes(places, _below(points[0][2].metric or ACCURACY), "energy saved, %")
    legend_of(figure, _legend(section, [one for _, _, one in points], places))
    figure.draw_without_rendering()  # the layout that the names need
    figure.set_layout_engine("none")
    for axes, own in zip(places, by_model.values(), strict=True):
        name_points(axes, _names(axes, section, own), _lines(axes, own))
    return figure


def _varied(section: Section, points: Sequence[Point]) -> str | None:
    """Return the name of the one setting in which the methods' cells differ, if it is one."""
    labels = [section.labels[one.key] for _, _, one in points]
    names = {label.partition("=")[0] for label in labels if label}
    return names.pop() if len(names) == 1 and not any("," in one for one in labels) else None


def _names(
    axes: "Axes", section: Section, points: Sequence[Point]
) -> list[tuple[float, float, str]]:
    """Return (drop, saved, name); one name for points of a method that lie upon each other."""
    varied = _varied(section, points)
    found: list[tuple[float, float, str]] = []
    places: list[tuple[float, float, str]] = []
    for drop, saved, one in points:
        value = section.labels[one.key].partition("=")[2]
        x, y = axes.transData.transform((drop, saved))
        upon = (
            number
            for number, (left, low, method) in enumerate(places)
            if method == one.method and max(abs(x - left), abs(y - low)) < _UPON
        )
        number = next(upon, None) if varied and value else None
        if number is None:
            places.append((x, y, one.method))
            name = f"{one.method} {value}" if varied and value else named(one, section.labels)
            found.append((drop, saved, name))
        else:
            found[number] = (*found[number][:2], f"{found[number][2]}, {value}")
    return found


def pareto_marks(section: Section) -> list[str]:
    """Return a sentence on the fronts, where there is one."""
    points = _points(section)
    fronts = [
        pareto([(drop, saved) for drop, saved, one in points if one.model == model])
        for model in dict.fromkeys(one.model for _, _, one in points)
    ]
    found = any(len(front) > 1 for front in fronts)
    return ["No method of a model beats one on its dashed front in both."] if found else []


def _points(section: Section) -> list[Point]:
    return [
        (one.drop.value, 100 * (one.saved or 0.0), one)
        for one in of_one_metric(section.known)
        if one.drop is not None
    ]


def _lines(axes: "Axes", points: Sequence[Point]) -> list[Line]:
    """Return the lines of a panel that no name should lie upon."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    front = pareto([(drop, saved) for drop, saved, _ in points])
    zeros = [((left, 0.0), (right, 0.0)), ((0.0, low), (0.0, high))]
    return [*zeros, *pairwise(front)]


def _legend(
    section: Section, savings: Sequence[Saving], places: "Sequence[Axes]"
) -> dict[str, Any]:
    """Return label -> artist: methods in the order of every table, then what occurs beside them."""
    from matplotlib.lines import Line2D

    ink = places[0].xaxis.label.get_color()
    style: dict[str, Any] = {"linestyle": "none", "markersize": 8, "markeredgewidth": 1.5}
    methods = [BASELINE, *section.methods]
    shown = {BASELINE, *(one.method for one in savings)}
    found: dict[str, Any] = {
        method: Line2D([], [], color=colour(method), marker=marker(method), **style)
        for method in methods
        if method in shown
    }
    if any(one.beyond for one in savings):
        hollow = Line2D([], [], color=ink, marker="o", markerfacecolor="none", **style)
        found[HOLLOW] = hollow
    for axes in places:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(str(label), handle)
    return found


def _draw(axes: "Axes", points: Sequence[Point]) -> None:
    ink = axes.xaxis.label.get_color()
    front = pareto([(drop, saved) for drop, saved, _ in points])
    if len(front) > 1:
        drops, saved = zip(*front, strict=True)
        axes.plot(drops, saved, color=ink, linestyle="--", linewidth=1.0, label=FRONT)
    axes.plot(
        [0.0],
        [0.0],
        linestyle="none",
        marker=marker(BASELINE),
        markersize=8,
        color=colour(BASELINE),
    )
    for drop, energy, one in points:
        _scatter(axes, drop, energy, one)
    metric = points[0][2].metric or ACCURACY
    axes.margins(0.16)
    axes.autoscale_view()
    far = [drop for drop, _, _ in points]
    if metric.is_share and max(map(abs, far)) > _FAR_PP:
        _compress_far_drops(axes, far)
    _shade(axes, points)


def _scatter(axes: "Axes", drop: float, energy: float, saving: Saving) -> None:
    own = colour(saving.method)
    axes.plot(
        [drop],
        [energy],
        linestyle="none",
        marker=marker(saving.method),
        markersize=8,
        color=own,
        markerfacecolor="none" if saving.beyond else own,
        markeredgewidth=1.5,
        zorder=2.5 if saving.beyond else 2.0,
    )


def _shade(axes: "Axes", points: Sequence[Point]) -> None:
    """Shade what costs more than the baseline, and what drops by more than the one tolerance."""
    ink = axes.xaxis.label.get_color()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    axes.axhline(0.0, color=ink, linewidth=1.0)
    axes.axvline(0.0, color=ink, linewidth=1.0)
    if low < 0.0:
        axes.axhspan(low, 0.0, color=ink, alpha=0.12, linewidth=0, label=COSTS, zorder=0)
    tolerances = {one.pairs[0][0].tolerance for _, _, one in points}
    limit = tolerances.pop()
    if not tolerances and limit < right:
        axes.axvspan(
            limit,
            right,
            facecolor="none",
            edgecolor=ink,
            alpha=0.4,
            hatch="//",
            linewidth=0,
            label=TOO_FAR,
            zorder=0,
        )
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)


def _below(metric: Metric) -> str:
    beside = "it gained" if metric.higher_is_better else "it fell"
    name = with_unit(f"{metric.name} drop", unit_in_words(metric))
    return f"{name} (left of 0: {beside})"


def _compress_far_drops(axes: "Axes", drops: Sequence[float]) -> None:
    """Make the axis logarithmic far from 0, so that one broken cell does not hide the others."""
    shown = (-50, -20, -5, -1, 0, 1, 2, 5, 10, 20, 50, 100)
    low, high = 1.6 * min(0.0, *drops) - 0.5, 1.6 * max(0.0, *drops) + 0.5
    axes.set_xscale("symlog", linthresh=2.0)
    axes.set_xlim(low, high)
    axes.set_xticks([tick for tick in shown if low <= tick <= high])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (drop, saved) that neither another one nor the baseline beats in both.

    The baseline is (0, 0), and one of the points that are returned.
    """
    front: list[tuple[float, float]] = []
    for drop, saved in sorted([*points, (0.0, 0.0)], key=lambda one: (one[0], -one[1])):
        if not front or saved > front[-1][1]:
            front.append((drop, saved))
    return front
