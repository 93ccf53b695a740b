"""Steganographic capacity for people: the graph of arXiv 2308.15502, and the table behind it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from energybench.compression.capacity import Capacity
from energybench.errors import UsageError
from energybench.report.style import (
    MARKERS,
    PALETTE,
    check_figure_path,
    look,
    new_figure,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED_LAYERS = 30
"""As many have room for their names."""


def capacity_figure(curves: Mapping[str, Capacity], path: Path, per_layer: bool = False) -> None:
    """Draw `curves` (label -> capacity) into `path`, an SVG or PNG by its suffix.

    Accuracy against overwritten bits: a dashed line is the least accuracy within the tolerance (a
    short one at each capacity where the references differ), a ring the capacity. With `per_layer`
    it is the capacity of each layer alone, one panel per label, in the network's order, and a
    dashed line at that of all layers together. Raises `UsageError` for another suffix, nothing to
    draw, or capacities without layers.
    """
    check_figure_path(path)
    if not curves:
        raise UsageError("no capacity to draw; measure one first")
    if per_layer:
        for label, found in curves.items():
            if not found.layers:
                raise UsageError(f"{label} has no capacity per layer; measure it with per_layer")
    with look(ink="#000000", grid="#d5d8dc"):
        figure = _layers_figure(curves) if per_layer else _curves_figure(curves)
        save_figure(figure, path)


def capacity_table(curves: Mapping[str, Capacity], layout: str = "simple") -> str:
    """Tables as text: accuracy by cleared bits, what was found, and bits of each layer alone.

    The last is there if a capacity has layers. What was not evaluated is "-". `layout` is one of
    tabulate's table formats. Raises `UsageError` for no curves.
    """
    if not curves:
        raise UsageError("no capacity to show; measure one first")
    from tabulate import tabulate

    accuracies = {label: dict(found.curve) for label, found in curves.items()}
    counts = sorted({bits for curve in accuracies.values() for bits in curve})
    by_bits = [[bits, *(_percent(one.get(bits)) for one in accuracies.values())] for bits in counts]
    found = [
        [
            label,
            one.fill,
            one.rounding if one.fill == "zeros" else "-",
            one.bits,
            _bytes(one.capacity_bytes),
            f"{100 * one.bits / 32:.1f} %",
            _percent(dict(one.curve)[one.bits]),
            one.evaluations,
            "yes" if one.monotone else "no",
        ]
        for label, one in curves.items()
    ]
    headers = (
        *("", "fill", "rounding", "bits", "capacity", "of 32 bits"),
        *("accuracy", "evaluations", "monotone"),
    )
    right = ["right"] * (1 + len(curves))
    sides = [*["left"] * 3, *["right"] * 5, "left"]
    tables = [
        tabulate(by_bits, ["bits", *curves], layout, colalign=right, disable_numparse=True),
        tabulate(found, headers, layout, colalign=sides, disable_numparse=True),
    ]
    if layers := _bits_by_layer(curves):
        sides = ["left"] + ["right"] * (len(layers[0]) - 1)
        names = ["layer alone", "weights", *(f"{label}, bits" for label in curves)]
        tables.append(tabulate(layers, names, layout, colalign=sides, disable_numparse=True))
    return "\n\n".join(tables)


def _bits_by_layer(curves: Mapping[str, Capacity]) -> list[list[str]]:
    """Rows of a layer's name, its weights, and its bits by label; in the network's order."""
    sizes = {name: one.weights for found in curves.values() for name, one in found.layers.items()}
    return [
        [
            name.removesuffix(".weight"),
            f"{weights:,}",
            *(str(one.layers[name].bits) if name in one.layers else "-" for one in curves.values()),
        ]
        for name, weights in sizes.items()
    ]


def _curves_figure(curves: Mapping[str, Capacity]) -> "Figure":
    figure = new_figure(7.0, 4.4)
    axes = figure.add_subplot()
    same = len({(one.reference, one.tolerance) for one in curves.values()}) == 1
    for number, (label, found) in enumerate(curves.items()):
        colour = PALETTE[number % len(PALETTE)]
        bits, accuracy = zip(*((bits, 100 * value) for bits, value in found.curve), strict=True)
        axes.plot(
            bits,
            accuracy,
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            linewidth=1.5,
            label=f"{label}: {found.bits} bits, {_bytes(found.capacity_bytes)}",
        )
        axes.plot(
            [found.bits],
            [100 * dict(found.curve)[found.bits]],
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=1.8,
        )
        least = 100 * found.reference - found.tolerance
        if not same:
            axes.hlines(least, found.bits - 1, found.bits + 1, colour, "dashed", linewidth=1.2)
        elif number == 0:
            axes.axhline(least, color="#555555", linestyle="--", linewidth=1.0)
    _name_the_rest(axes, next(iter(curves.values())).tolerance if same else None)
    return figure


def _name_the_rest(axes: "Axes", tolerance: float | None) -> None:
    """Axes, and what the dashed line and the ring are."""
    from matplotlib.lines import Line2D

    axes.set_xlim(-0.5, 31.5)
    axes.set_xticks(range(0, 32, 4))
    axes.set_ylim(0, 103)
    axes.set_xlabel("low-order bits overwritten in each float32 weight")
    axes.set_ylabel("validation accuracy, %")
    tolerated = "tolerance" if tolerance is None else f"tolerance, {tolerance:g} pp"
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


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _bytes(count: float) -> str:
    """With a decimal prefix: 26.5 MB."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
