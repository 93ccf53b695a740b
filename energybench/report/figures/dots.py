"""Savings as points with their intervals, one line each, below the name of their model."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from energybench.report.rows import RowKey
from energybench.report.savings import Saving
from energybench.report.style import colour, label_below, marker, percent_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.24
"""Inches per line."""
HOLLOW = "hollow: drop beyond the tolerance"
Line = tuple[str, Saving | None]
"""A label and its saving; a line without one is the name of a model above its savings."""


def ends(saving: Saving) -> list[float]:
    """Return the finite ones of the saving and the two ends of its interval, in percent."""
    if saving.energy is None:
        return []
    ratios = [saving.energy.value, saving.energy.low, saving.energy.high]
    return [100.0 * (1.0 - one) for one in ratios if one is not None and one < 100.0]


def saving_limits(savings: Sequence[Saving]) -> tuple[float, float]:
    """Return the limits of an axis that shows `savings` in percent."""
    values = [100 * saving.saved for saving in savings if saving.saved is not None]
    return percent_limits(values, [end for saving in savings for end in ends(saving)])


def draw_dots(axes: "Axes", lines: Sequence[Line]) -> None:
    """Draw one line per saving, the first on top; hollow for a drop beyond tolerance."""
    from matplotlib.ticker import MaxNLocator

    limits = saving_limits([saving for _, saving in lines if saving is not None])
    for place, (_, saving) in enumerate(lines):
        if saving is None or saving.energy is None:
            continue
        own = colour(saving.method)
        _draw_floor(axes, place, saving)
        low, high = saving.energy.low, saving.energy.high
        if low is not None and high is not None:
            left, right = 100 * (1 - min(high, 100.0)), 100 * (1 - low)
            axes.plot([left, right], [place, place], color=own, linewidth=1.8)
            for end, arrow, goes_on in (
                (limits[0], "<", left < limits[0]),
                (limits[1], ">", right > limits[1]),
            ):
                if goes_on:
                    axes.plot([end], [place], marker=arrow, color=own, clip_on=False)
        axes.plot(
            [100 * (saving.saved or 0.0)],
            [place],
            linestyle="none",
            color=own,
            marker=marker(saving.method),
            markersize=7,
            markerfacecolor="none" if saving.beyond else own,
            markeredgewidth=1.5,
        )
    axes.axvline(0.0, color=axes.xaxis.label.get_color(), linewidth=1.0)
    axes.set_xlim(*limits)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    name_lines(axes, lines)
    label_below(axes, "energy saved, % (left of 0: it cost more)")


def marks_of(axes: "Axes", savings: Sequence[Saving]) -> dict[str, Any]:
    """Return label -> artist of the marks of `draw_dots` that occur among `savings`."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    ink = axes.xaxis.label.get_color()
    low, high = saving_limits(savings)
    wide = [ends(saving) for saving in savings if len(ends(saving)) > 1]
    style: dict[str, Any] = {"color": ink, "linestyle": "none", "markersize": 7}
    found: dict[str, Any] = {}
    if any(saving.beyond for saving in savings):
        hollow = Line2D([], [], marker="o", markerfacecolor="none", markeredgewidth=1.5, **style)
        found[HOLLOW] = hollow
    if wide:
        found["95 % interval over seeds"] = Line2D([], [], color=ink, linewidth=1.8)
    if any(min(one) < low or max(one) > high for one in wide):
        found["interval that goes on"] = Line2D([], [], marker="<", **style)
    if any(saving.noise is not None for saving in savings):
        found["noise floor"] = Patch(facecolor=ink, alpha=0.12, linewidth=0)
    return found


def name_lines(axes: "Axes", lines: Sequence[Line]) -> None:
    """Write the names of the lines beside them; a faint line parts one model from the next."""
    axes.set_yticks(range(len(lines)), [label for label, _ in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    faint = axes.xaxis.get_gridlines()[0].get_color()
    ticks = zip(axes.get_yticklabels(), axes.yaxis.get_major_ticks(), lines, strict=True)
    for place, (text, tick, (_, saving)) in enumerate(ticks):
        if saving is None:
            text.set_fontweight("bold")
            tick.tick1line.set_visible(False)
            if place:
                axes.axhline(place - 0.5, color=faint, linewidth=1.0)


def _draw_floor(axes: "Axes", place: int, saving: Saving) -> None:
    """Draw a faint bar over the savings that noise alone can give."""
    if saving.noise is None:
        return
    width = saving.noise.width(len(saving.pairs))
    left, right = 100 * (1 - math.exp(min(width, 5.0))), 100 * (1 - math.exp(-width))
    ink = axes.xaxis.label.get_color()
    axes.barh(place, right - left, left=left, height=0.8, color=ink, alpha=0.12, linewidth=0)


def lines_of(savings: Sequence[Saving], labels: Mapping[RowKey, str]) -> list[Line]:
    """Return a line per saving, named by method and setting.

    Of several models, each has a line with its name above those of its savings.
    """
    several = len({saving.model for saving in savings}) > 1
    lines: list[Line] = []
    for saving in savings:
        if several and (not lines or _model(lines[-1]) != saving.model):
            lines.append((saving.model, None))
        lines.append((named(saving, labels), saving))
    return lines


def named(saving: Saving, labels: Mapping[RowKey, str]) -> str:
    """Return the method of a saving, with its setting where there are several."""
    setting = labels.get(saving.key)
    return f"{saving.method} ({setting})" if setting else saving.method


def _model(line: Line) -> str | None:
    return None if line[1] is None else line[1].model
