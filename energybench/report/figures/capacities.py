"""Steganographic capacity as figures: the graph of arXiv 2308.15502, and bits by layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from energybench.compression.capacity import Capacity
from energybench.errors import UsageError
from energybench.records.metric import ACCURACY, Metric
from energybench.report.scores import value_axis, worst_within
from energybench.report.style import (
    MARKERS,
    PALETTE,
    check_figure_path,
    look,
    new_figure,
    save_figure,
)
from energybench.report.text import setting_ends, size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED_LAYERS = 30
"""Largest number of layers whose names fit on the axis."""


def save_capacities(
    curves: Mapping[str, Capacity],
    path: Path,
    per_layer: bool = False,
    metric: Metric = ACCURACY,
) -> None:
    """Draw `curves` (label -> capacity) into `path`, an SVG or PNG by its suffix.

    The figure shows `metric` against overwritten bits. A ring marks the
    capacity, a dashed line the worst value within the tolerance; where the references differ, each
    capacity has a short line of its own. With `per_layer` the figure shows the capacity of each
    single layer, in the network's order, one panel per label, with a dashed line at the capacity of
    all layers together. Raises `UsageError`
    for another suffix, nothing to draw, or capacities without layers.
    """
    check_figure_path(path)
    if not curves:
        raise UsageError("no capacity to draw; measure one first")
    if per_layer:
        for label, found in curves.items():
            if not found.layers:
                raise UsageError(f"{label} has no capacity per layer; measure it with per_layer")
    with look(ink="#000000", grid="#d5d8dc"):
        figure = _layers_figure(curves) if per_layer else _curves_figure(curves, metric)
        save_figure(figure, path)


def _curves_figure(curves: Mapping[str, Capacity], metric: Metric) -> "Figure":
    figure = new_figure(7.0, 4.4)
    axes = figure.add_subplot()
    same = len({(one.reference, one.tolerance) for one in curves.values()}) == 1
    for number, (label, found) in enumerate(curves.items()):
        colour = PALETTE[number % len(PALETTE)]
        bits, values = zip(*found.curve, strict=True)
        axes.plot(
            bits,
            [metric.scale * value for value in values],
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            linewidth=1.5,
            label=f"{label}: {found.bits}{setting_ends(found.interval)} bits, "
            f"{size(found.capacity_bytes)}",
        )
        axes.plot(
            [found.bits],
            [metric.scale * dict(found.curve)[found.bits]],
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.8,
        )
        worst = worst_within(metric, found.reference, found.tolerance)
        if not same:
            axes.hlines(worst, found.bits - 1, found.bits + 1, colour, "dashed", linewidth=1.2)
        elif number == 0:
            axes.axhline(worst, color="#555555", linestyle="--", linewidth=1.0)
    _label(axes, metric, next(iter(curves.values())).tolerance if same else None)
    return figure


def _label(axes: "Axes", metric: Metric, tolerance: float | None) -> None:
    """Label the axes, and explain the dashed line and the ring."""
    from matplotlib.lines import Line2D

    axes.set_xlim(-0.5, 31.5)
    axes.set_xticks(range(0, 32, 4))
    if metric.is_share:
        axes.set_ylim(0, 103)
    axes.set_xlabel("low-order bits overwritten in each float32 weight")
    axes.set_ylabel(f"validation {value_axis(metric)}")
    tolerated = (
        "tolerance" if tolerance is None else f"tolerance, {tolerance:g} {metric.unit}".rstrip()
    )
    line = Line2D([], [], color="#555555", linestyle="--", linewidth=1.0, label=tolerated)
    ring = Line2D([], [], color="#555555", linestyle="none", marker="o", label="capacity")
    ring.set(markersize=9, markerfacecolor="none")
    handles, _ = axes.get_legend_handles_labels()
    axes.legend(handles=[*handles, line, ring], loc="lower left")


def _layers_figure(curves: Mapping[str, Capacity]) -> "Figure":
    longest = max(len(found.layers) for found in curves.values())
    width = min(14.0, max(6.0, 0.28 * longest + 1.5))
    figure = new_figure(width, 0.4 + 2.8 * len(curves))
    panels = figure.subplots(len(curves), squeeze=False)[:, 0]
    for number, (axes, (label, found)) in enumerate(zip(panels, curves.items(), strict=True)):
        names = list(found.layers)
        bits = [one.bits for one in found.layers.values()]
        axes.bar(range(len(names)), bits, width=0.8, color=PALETTE[number % len(PALETTE)])
        axes.axhline(found.bits, color="#000000", linestyle="--", linewidth=1.2)
        axes.set_title(f"{label}: {found.bits} bits in all layers at once (dashed)", fontsize=10)
        axes.set_ylim(0, 32)
        axes.set_yticks(range(0, 33, 8))
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylabel("bits, this layer alone")
        axes.grid(axis="x", visible=False)
        if len(names) <= _NAMED_LAYERS:
            short = [name.removesuffix(".weight") for name in names]
            axes.set_xticks(range(len(names)), short, rotation=90, fontsize=8)
        else:
            axes.set_xlabel("layer, from input to output")
    return figure
