"""The figure of the operating points."""

from typing import TYPE_CHECKING, Any

from energybench.report.operating_points import front, mean_points, metric_label
from energybench.report.sections import Section
from energybench.report.style import (
    MARKERS,
    PALETTE,
    WIDTH,
    columns_of,
    is_narrow,
    label_below,
    legend_below,
    panels,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def operating_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw time against energy, and the metric against energy, a pair of panels per model."""
    points = [one for one in mean_points(section.operating_points) if one.joules is not None]
    if not points:
        return None
    models = list(dict.fromkeys(one.model for one in points))
    sizes = sorted({one.batch_size for one in points})
    choices = list(dict.fromkeys((one.precision, one.power_limit_w) for one in points))
    figure, places = panels(2 * len(models), width, height=2.8, columns=2)
    for model, left, right in zip(models, places[::2], places[1::2], strict=True):
        own = [one for one in points if one.model == model]
        best = front(own)
        for one in own:
            look: dict[str, Any] = {
                "linestyle": "none",
                "marker": MARKERS[sizes.index(one.batch_size) % len(MARKERS)],
                "color": PALETTE[choices.index((one.precision, one.power_limit_w)) % len(PALETTE)],
                "markersize": 8,
            }
            places[0].plot([], [], label=f"batch {one.name}", **look)  # filled in the legend
            if one not in best:
                look["markerfacecolor"] = "none"
            metric = 100 * one.value if one.metric.is_share else one.value
            left.plot([one.joules or 0.0], [one.seconds], **look)
            right.plot([one.joules or 0.0], [metric], **look)
        for axes in (left, right):
            axes.set_title(model, fontsize=10)
            axes.set_xlim(0, None)
            label_below(axes, "joules of fine-tuning (IT)", columns_of(places))
        left.set_ylim(0, None)
        left.set_ylabel("seconds of fine-tuning")
        right.set_ylabel(metric_label(own))
    legend_below(figure, places, columns=2 if is_narrow(width) else 3)
    return figure
