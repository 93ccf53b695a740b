"""Figures of single training steps and of inference on the device."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from energybench.registry import BASELINE
from energybench.report.figures.labels import name_points
from energybench.report.sections import Section
from energybench.report.style import (
    WIDTH,
    colour,
    label_below,
    legend_below,
    marker,
    name_axes,
    new_figure,
    panels,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from energybench.records.studies import Answered, InferencePoint, Intensity


def roofline_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw achieved FLOP/s against FLOP per byte, under the device's measured ceilings."""
    found = section.intensities
    if not found:
        return None
    from matplotlib.ticker import LogFormatter

    figure = new_figure(width, 4.0)
    axes = figure.subplots()
    for one in found:
        axes.plot(
            [one.intensity],
            [one.flops_per_s / 1e9],
            linestyle="none",
            marker=marker(one.method),
            markersize=8,
            color=colour(one.method),
            label=f"{one.method} [{one.precision}]",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    _draw_roofs(axes, found)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    label_below(axes, "floating-point operations per byte (bytes are an estimate)")
    axes.set_ylabel("GFLOP/s")
    legend_below(figure, [axes])
    figure.draw_without_rendering()  # the layout that the names need
    figure.set_layout_engine("none")
    several = len({one.model for one in found}) > 1
    names = [
        (one.intensity, one.flops_per_s / 1e9, one.model if several else one.method)
        for one in found
        if not several or one.method == BASELINE
    ]
    name_points(axes, names)
    return figure


def _draw_roofs(axes: "Axes", found: "Sequence[Intensity]") -> None:
    """Draw one roof per arithmetic: the slope of the bandwidth up to the ceiling of operations."""
    ink = axes.xaxis.label.get_color()
    places = [one.intensity for one in found]
    slope = max(one.ceiling_bytes_per_s for one in found)
    ceilings: dict[str, float] = {}
    for one in found:
        ceilings[one.precision] = max(ceilings.get(one.precision, 0.0), one.ceiling_flops_per_s)
    left = min(places) / 4
    right = 4 * max([*places, *(ceiling / slope for ceiling in ceilings.values())])
    for (precision, ceiling), line in zip(ceilings.items(), ("--", ":", "-."), strict=False):
        knee = ceiling / slope
        axes.plot(
            [left, knee, right],
            [left * slope / 1e9, ceiling / 1e9, ceiling / 1e9],
            color=ink,
            linestyle=line,
            linewidth=1.2,
            label=f"ceiling, {precision}",
        )
    axes.set_xlim(left, right)


def inference_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw joules per 1,000 images against the batch size."""
    known = [one for one in section.inferences if _known(one.points)]
    if not known:
        return None
    models = list(dict.fromkeys(one.model for one in known))
    figure, places = panels(len(models), width, height=2.6)
    for axes, model in zip(places, models, strict=True):
        for one in (each for each in known if each.model == model):
            joules = [point.joules_per_1000_images or 0.0 for point in one.points]
            _draw_by_batch(axes, one, joules)
        _label_batches(axes, known)
        axes.set_title(model, fontsize=10)
    name_axes(places, "batch size", "joules per 1,000 images (IT)")
    legend_below(figure, places)
    return figure


def _known(points: "list[InferencePoint]") -> bool:
    return all(point.joules_per_1000_images is not None for point in points)


def generation_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw joules per 1,000 tokens of prefill and of decoding against the batch size."""
    known = [
        one
        for one in section.generations
        if all(
            point.prefill_joules_per_1000_tokens is not None
            and point.decode_joules_per_1000_tokens is not None
            for point in one.points
        )
    ]
    if not known:
        return None
    models = list(dict.fromkeys(one.model for one in known))
    figure, places = panels(2 * len(models), width, height=2.6, columns=2)
    for (left, right), model in zip(
        zip(places[::2], places[1::2], strict=True), models, strict=True
    ):
        for one in (each for each in known if each.model == model):
            read = [point.prefill_joules_per_1000_tokens or 0.0 for point in one.points]
            written = [point.decode_joules_per_1000_tokens or 0.0 for point in one.points]
            _draw_by_batch(left, one, read)
            _draw_by_batch(right, one, written)
        for axes, part in ((left, "prefill"), (right, "decoding")):
            _label_batches(axes, known)
            axes.set_title(f"{model}: {part}" if len(models) > 1 else part, fontsize=10)
    name_axes(places, "batch size", "joules per 1,000 tokens (IT)")
    legend_below(figure, places)
    return figure


def _draw_by_batch(axes: "Axes", one: "Answered", joules: "Sequence[float]") -> None:
    axes.plot(
        [point.batch_size for point in one.points],
        joules,
        color=colour(one.method),
        marker=marker(one.method),
        markersize=6,
        linewidth=1.5,
        label=f"{one.method} [{one.precision}]",
    )


def _label_batches(axes: "Axes", known: "Sequence[Answered]") -> None:
    sizes = sorted({point.batch_size for one in known for point in one.points})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, None)
