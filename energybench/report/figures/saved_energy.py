"""Figures of the energy saved: how much, and by which factors."""

from math import log
from typing import TYPE_CHECKING

from energybench.report.factors import NAMES
from energybench.report.figures.dots import (
    LINE,
    draw_dots,
    lines_of,
    marks_of,
    name_lines,
)
from energybench.report.savings import Saving
from energybench.report.sections import Section
from energybench.report.style import WIDTH, label_below, legend_below, legend_of, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FACTOR_COLOURS = ("#6C5FC7", "#999933", "#44AA99", "#CC6677")
_HATCHES = ("", "....", "////", "xxxx")
"""Hatches of the factors, a second cue beside their colours.

The colours are from P. Tol's muted scheme, the first lighter so that it shows on a dark page; no
method has one of them.
"""
_VISIBLE = 0.003
"""Share of the axis that a factor must fill to be named."""
_STEPS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.1, 1.2, 1.4, 2.0, 3.0, 5.0, 10.0, 20.0)
"""Ratios beside 1 that an axis may name."""


def saving_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw the energy saved per model and method, with its interval."""
    lines = lines_of(section.known, section.labels)
    if not lines:
        return None
    figure = new_figure(width, 0.9 + LINE * len(lines))
    axes = figure.subplots()
    draw_dots(axes, lines)
    legend_of(figure, marks_of(axes, section.known))
    return figure


def factor_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw each ratio of energies as a sum of its factors' logarithms."""
    known = [one for one in section.known if one.factors]
    if not known:
        return None
    lines = lines_of(known, section.labels)
    figure = new_figure(width, 0.9 + LINE * len(lines))
    axes = figure.subplots()
    ink = axes.xaxis.label.get_color()
    places = [(place, one) for place, (_, one) in enumerate(lines) if one is not None]
    for place, saving in places:
        _stack(axes, place, saving)
    totals = [(one.factors.log_ratio, place) for place, one in places if one.factors]
    axes.plot(
        *zip(*totals, strict=True),
        linestyle="none",
        marker="D",
        markersize=5,
        color=ink,
        label="energy",
    )
    axes.axvline(0.0, color=ink, linewidth=1.0)
    name_lines(axes, lines)
    _ratio_ticks(axes, width)
    label_below(axes, "times the baseline's (logarithmic; left of 1: less)")
    _name_visible(axes)
    legend_below(figure, [axes])
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


def _name_visible(axes: "Axes") -> None:
    """Take the names from the bars of factors that are too short to be seen in any line."""
    from matplotlib.container import BarContainer

    low, high = axes.get_xlim()
    drawn = [one for one in axes.containers if isinstance(one, BarContainer)]
    longest: dict[str, float] = {}
    for bars in drawn:
        name = str(bars.get_label())
        widths = [abs(bar.get_width()) for bar in bars.patches]
        longest[name] = max(longest.get(name, 0.0), *widths)
    for bars in drawn:
        if longest[str(bars.get_label())] < _VISIBLE * (high - low):
            bars.set_label("_nolegend_")


def _ratio_ticks(axes: "Axes", width: float) -> None:
    """Label natural logarithms with their ratios, as many as have room beside each other."""
    low, high = axes.get_xlim()
    apart = 0.5 * (high - low) / (0.6 * width)
    shown = [1.0]
    for one in sorted(_STEPS, key=lambda step: abs(log(step))):
        if low <= log(one) <= high and all(abs(log(one / other)) >= apart for other in shown):
            shown.append(one)
    shown.sort()
    axes.set_xticks([log(one) for one in shown], [f"{one:g}" for one in shown])
