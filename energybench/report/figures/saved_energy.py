"""Figures of the energy saved: how much, at which drop, and by which factors."""

from typing import TYPE_CHECKING

from energybench.records.metric import ACCURACY, Metric
from energybench.report.factors import NAMES
from energybench.report.figures.dots import LINE, draw_dots, lines_of
from energybench.report.savings import Saving
from energybench.report.scores import of_one_metric, unit_in_words, with_unit
from energybench.report.sections import Section
from energybench.report.style import colour, legend_below, marker, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FACTOR_COLOURS = ("#332288", "#999933", "#44AA99", "#CC6677")

_HATCHES = ("", "....", "////", "xxxx")
"""Hatches of the factors, a second cue beside their colours.

The colours are from P. Tol's muted scheme; no method has one of them.
"""
_FAR_PP = 4.0
"""Distance from 0, in percentage points, beyond which the axis of drops is logarithmic."""


def saving_figure(section: Section) -> "Figure | None":
    """Draw the energy saved per model and method, with its interval."""
    lines = lines_of(section.known, section.labels)
    if not lines:
        return None
    figure = new_figure(7.2, 0.9 + LINE * len(lines))
    draw_dots(figure.subplots(), lines)
    return figure


def pareto_figure(section: Section) -> "Figure | None":
    """Draw the energy saved against the drop, and the points that no other point beats in both.

    Cells with another metric than the first cell's are left out.
    """
    comparable = of_one_metric(section.known)
    points = [(one, one.drop.value) for one in comparable if one.drop is not None]
    if not points:
        return None
    figure = new_figure(7.2, 4.6)
    axes = figure.subplots()
    for method in section.methods:
        for fill in (True, False):
            own = [(drop, one) for one, drop in points if one.method == method]
            own = [(drop, one) for drop, one in own if bool(one.beyond) != fill]
            if own:
                _scatter(axes, method, [(drop, 100 * (one.saved or 0)) for drop, one in own], fill)
    front = pareto([(drop, 100 * (one.saved or 0.0), one) for one, drop in points])
    _draw_front(axes, [(drop, saved) for drop, saved, _ in front])
    several = len(section.models) > 1
    for drop, saved, one in front:
        axes.annotate(
            one.model if several else one.method,
            (drop, saved),
            xytext=(5, 5),
            textcoords="offset points",
            fontsize=8,
        )
    axes.axhline(0.0, color=axes.xaxis.label.get_color(), linewidth=1.0)
    axes.axvline(0.0, color=axes.xaxis.label.get_color(), linewidth=1.0)
    axes.margins(0.08)
    metric = points[0][0].metric or ACCURACY
    if metric.is_share and max(abs(drop) for _, drop in points) > _FAR_PP:
        _compress_far_drops(axes)
    axes.set_xlabel(
        f"{with_unit(f'{metric.name} drop', unit_in_words(metric))} (left of 0: {_better(metric)})"
    )
    axes.set_ylabel("energy saved, %")
    legend_below(figure, [axes], columns=3)
    return figure


def _better(metric: Metric) -> str:
    return "it gained" if metric.higher_is_better else "it fell"


def _compress_far_drops(axes: "Axes") -> None:
    """Make the axis logarithmic far from 0, so that one broken cell does not hide the others."""
    axes.set_xscale("symlog", linthresh=2.0)
    shown = (-20, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100)
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in shown if low <= tick <= high])
    axes.set_xticklabels([f"{tick:g}" for tick in shown if low <= tick <= high])
    axes.minorticks_off()


def _scatter(axes: "Axes", method: str, points: list[tuple[float, float]], within: bool) -> None:
    drops, saved = zip(*points, strict=True)
    own = colour(method)
    axes.plot(
        drops,
        saved,
        linestyle="none",
        marker=marker(method),
        markersize=8,
        color=own,
        markerfacecolor=own if within else "none",
        markeredgewidth=1.5,
        label=method if within else f"{method}, beyond tolerance",
    )


def pareto(points: list[tuple[float, float, Saving]]) -> list[tuple[float, float, Saving]]:
    """Return the points (drop, saved, ...) that no other point beats in both drop and saving."""
    front: list[tuple[float, float, Saving]] = []
    for point in sorted(points, key=lambda one: (one[0], -one[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front


def _draw_front(axes: "Axes", front: list[tuple[float, float]]) -> None:
    drops, saved = zip(*front, strict=True)
    ink = axes.xaxis.label.get_color()
    axes.plot(drops, saved, color=ink, linestyle="--", linewidth=1.0, label="Pareto front")


def factor_figure(section: Section) -> "Figure | None":
    """Draw each ratio of energies as a sum of its factors' logarithms."""
    lines = [line for line in lines_of(section.known, section.labels) if line[1].factors]
    if not lines:
        return None
    figure = new_figure(7.2, 1.3 + LINE * len(lines))
    axes = figure.subplots()
    ink = axes.xaxis.label.get_color()
    for place, (_, saving) in enumerate(lines):
        _stack(axes, place, saving)
    totals = [saving.factors.log_ratio for _, saving in lines if saving.factors]
    axes.plot(
        totals,
        range(len(lines)),
        linestyle="none",
        marker="D",
        markersize=5,
        color=ink,
        label="energy",
    )
    axes.axvline(0.0, color=ink, linewidth=1.0)
    axes.set_yticks(range(len(lines)), [label for label, _ in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    _ratio_ticks(axes)
    axes.set_xlabel("times the baseline's (logarithmic; left of 1: less)")
    axes.grid(axis="y", visible=False)
    legend_below(figure, [axes], columns=5)
    return figure


def _stack(axes: "Axes", place: int, saving: Saving) -> None:
    """Draw factors that save to the left, the others to the right; their sum is the total."""
    if saving.factors is None:
        return
    ends = {True: 0.0, False: 0.0}
    for number, name in enumerate(NAMES):
        value = saving.factors.logs[name]
        axes.barh(
            place,
            value,
            left=ends[value < 0],
            height=0.62,
            color=_FACTOR_COLOURS[number],
            hatch=_HATCHES[number],
            edgecolor="white",
            linewidth=0.3,
            label=name,
        )
        ends[value < 0] += value


def _ratio_ticks(axes: "Axes") -> None:
    """Label natural logarithms with their ratios."""
    from math import log

    low, high = axes.get_xlim()
    steps = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0, 20.0)
    fine = (0.8, 0.9, 1.1, 1.2) if high - low < 1.2 else ()
    shown = [one for one in sorted((*steps, *fine)) if low <= log(one) <= high]
    axes.set_xticks([log(one) for one in shown], [f"{one:g}" for one in shown])
