"""Savings as points with their intervals, one line each, model below model."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from energybench.report.rows import RowKey
from energybench.report.savings import Saving
from energybench.report.style import colour, marker, percent_limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 0.24
"""Inches per line."""


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


def draw_dots(axes: "Axes", lines: Sequence[tuple[str, Saving]]) -> None:
    """Draw one line per (label, saving), the first on top; hollow for a drop beyond tolerance."""
    limits = saving_limits([saving for _, saving in lines])
    for place, (_, saving) in enumerate(lines):
        if saving.energy is None:
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
    axes.set_yticks(range(len(lines)), [label for label, _ in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlim(*limits)
    axes.set_xlabel("energy saved, % (left of 0: it cost more)")
    axes.grid(axis="y", visible=False)
    _part_models(axes, [saving for _, saving in lines])


def _draw_floor(axes: "Axes", place: int, saving: Saving) -> None:
    """Draw a faint bar over the savings that noise alone can give."""
    if saving.noise is None:
        return
    width = saving.noise.width(len(saving.pairs))
    left, right = 100 * (1 - math.exp(min(width, 5.0))), 100 * (1 - math.exp(-width))
    ink = axes.xaxis.label.get_color()
    axes.barh(place, right - left, left=left, height=0.8, color=ink, alpha=0.12, linewidth=0)


def _part_models(axes: "Axes", savings: Sequence[Saving]) -> None:
    """Draw a faint line between one model and the next."""
    for place, (one, other) in enumerate(pairwise(savings)):
        if one.model != other.model:
            axes.axhline(
                place + 0.5, color=axes.xaxis.get_gridlines()[0].get_color(), linewidth=1.0
            )


def lines_of(savings: Sequence[Saving], labels: Mapping[RowKey, str]) -> list[tuple[str, Saving]]:
    """Return (label, saving) pairs; a label names method, setting and, of several, model."""
    several = len({saving.model for saving in savings}) > 1
    lines = []
    for saving in savings:
        setting = labels.get(saving.key)
        name = f"{saving.method} ({setting})" if setting else saving.method
        lines.append((f"{saving.model}  {name}" if several else name, saving))
    return lines
