"""Figures of the studies, each drawn if a run has the cells for it."""

from typing import TYPE_CHECKING, Any

from energybench.records.metric import ACCURACY
from energybench.registry import base_name
from energybench.report.figures.dots import (
    LINE,
    Line,
    draw_dots,
    ends,
    lines_of,
    marks_of,
    name_lines,
    saving_limits,
)
from energybench.report.savings import Saving
from energybench.report.scores import of_one_metric, unit_in_words, with_unit
from energybench.report.sections import Section
from energybench.report.style import (
    WIDTH,
    colour,
    columns_of,
    is_narrow,
    label_below,
    legend_below,
    legend_of,
    marker,
    new_figure,
    panels,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BITS = ("stego", "stego-once", "stego-fp32", "baseline-tf32", "baseline-bf16", "baseline-default")
"""Methods that clear bits, and those that only compute as `stego` may."""
ZEROS = ("prune", "prune-once")
CONTROLS = (*BITS, *ZEROS)


def tolerance_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw energy saved and drop on the test split, by tolerance."""
    curves = by_tolerance(section)
    if not curves:
        return None
    models = list(dict.fromkeys(model for model, _ in curves))
    figure, places = panels(2 * len(models), width, height=2.6, columns=2)
    pairs = zip(places[::2], places[1::2], strict=True)
    for (left, right), model in zip(pairs, models, strict=True):
        own = {method: savings for (name, method), savings in curves.items() if name == model}
        for number, (method, savings) in enumerate(own.items()):
            aside = 1.05 ** (number - (len(own) - 1) / 2)
            _draw_tolerances(left, right, method, savings, aside)
        together = [one for savings in own.values() for one in savings]
        left.set_ylim(*saving_limits(together))
        _label_tolerances(left, right, together, model if len(models) > 1 else "")
    legend_below(figure, places)
    return figure


def by_tolerance(section: Section) -> dict[tuple[str, str], list[Saving]]:
    """Return (model, method) -> savings by rising tolerance, if there are several.

    Cells with another metric than the first cell's are left out.
    """
    found: dict[tuple[str, str], list[Saving]] = {}
    for saving in of_one_metric(section.known):
        found.setdefault((saving.model, saving.method), []).append(saving)
    return {
        key: sorted(savings, key=_tolerance)
        for key, savings in found.items()
        if len({_tolerance(saving) for saving in savings}) > 1
    }


def _tolerance(saving: Saving) -> float:
    return saving.pairs[0][0].tolerance


def _draw_tolerances(
    left: "Axes", right: "Axes", method: str, savings: list[Saving], aside: float
) -> None:
    """Draw savings by tolerance times `aside`, so that no interval hides another."""
    own = colour(method)
    look: dict[str, Any] = {
        "color": own,
        "marker": marker(method),
        "markersize": 6,
        "linewidth": 1.5,
    }
    places = [aside * _tolerance(saving) for saving in savings]
    left.plot(places, [100 * (one.saved or 0.0) for one in savings], label=method, **look)
    for place, saving in zip(places, savings, strict=True):
        values = ends(saving)
        left.plot([place, place], [min(values), max(values)], color=own, linewidth=1.0)
    drops = [(p, one.drop.value) for p, one in zip(places, savings, strict=True) if one.drop]
    if drops:
        right.plot(*zip(*drops, strict=True), label=method, **look)


def _label_tolerances(left: "Axes", right: "Axes", savings: list[Saving], title: str) -> None:
    metric = savings[0].metric or ACCURACY
    ink = left.xaxis.label.get_color()
    ticks: tuple[float, ...] = (0.5, 1, 2, 5, 10)
    if not metric.is_share:
        ticks = tuple(sorted({_tolerance(one) for one in savings}))
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{one:g}" for one in ticks])
        axes.minorticks_off()
        label_below(axes, with_unit("tolerance", unit_in_words(metric)), columns_of([axes]))
        axes.axhline(0.0, color=ink, linewidth=1.0)
        axes.set_title(title, fontsize=10)
    left.set_ylabel("energy saved, %")
    items = savings[0].pairs[0][0].dataset.items
    right.set_ylabel(wrapped(with_unit(f"{metric.name} drop on test {items}", metric.unit), 2.1))
    right.plot(ticks, ticks, color=ink, linestyle="--", linewidth=1.0, label="all of the tolerance")


def composition_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw every method and combination, best first, and the best single method as a line."""
    models = [
        model
        for model in section.models
        if any(one.model == model and "+" in one.method for one in section.known)
    ]
    if not models:
        return None
    ranked = {
        model: sorted(
            (one for one in section.known if one.model == model),
            key=lambda one: one.saved or 0.0,
            reverse=True,
        )
        for model in models
    }
    heights = [0.9 + LINE * len(savings) for savings in ranked.values()]
    figure = new_figure(width, 0.2 + sum(heights))
    grid = figure.subplots(len(models), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (model, savings) in zip(grid, ranked.items(), strict=True):
        draw_dots(axes, lines_of(savings, section.labels))
        single = [one.saved or 0.0 for one in savings if "+" not in one.method]
        if single:
            ink = axes.xaxis.label.get_color()
            best = 100 * max(single)
            axes.axvline(best, color=ink, linestyle="--", linewidth=1.0, label="best single method")
        axes.set_title(model if len(models) > 1 else "", fontsize=10)
    marks = marks_of(grid[0], [one for savings in ranked.values() for one in savings])
    for axes in grid:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            marks.setdefault(str(label), handle)
    legend_of(figure, marks)
    return figure


def equalized(section: Section) -> list[Saving]:
    """Return the savings at an equal budget of epochs, with known drops in one metric."""
    savings = [one for one in section.known if dict(one.key.setting).get("budget") == "equal"]
    return of_one_metric([one for one in savings if one.drop is not None])


def budget_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw energy saved and drop after exactly the baseline's epochs."""
    savings = equalized(section)
    return _savings_and_drops(section, savings, width) if savings else None


def control_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw bits held and overwritten once, arithmetic without them, zeros held and set once."""
    savings = compared_controls(section)
    return _savings_and_drops(section, savings, width) if savings else None


def compared_controls(section: Section) -> list[Saving]:
    """Return the methods of `BITS` and `ZEROS` with a known drop, where a model has a contrast.

    That is a method that clears bits beside another of `BITS`, or zeros set once.
    """
    savings = [one for one in section.known if base_name(one.method) in CONTROLS]
    found: list[Saving] = []
    for model in dict.fromkeys(one.model for one in savings):
        own = [one for one in savings if one.model == model and one.drop is not None]
        bits = [one for one in own if base_name(one.method) in BITS]
        zeros = [one for one in own if base_name(one.method) in ZEROS]
        if len(bits) > 1 and any(one.method.startswith("stego") for one in bits):
            found += bits
        if any(base_name(one.method) == "prune-once" for one in zeros):
            found += zeros
    return of_one_metric(found)


def _savings_and_drops(section: Section, savings: list[Saving], width: float) -> "Figure":
    """Draw two panels with one line per method: energy saved, and drop."""
    lines = lines_of(savings, section.labels)
    height = 0.9 + max(0.9, 0.28 * len(lines))
    if is_narrow(width):
        figure = new_figure(width, 2 * height)
        left, right = figure.subplots(2, 1)
    else:
        figure = new_figure(width, height)
        left, right = figure.subplots(1, 2, sharey=True)
        right.tick_params(axis="y", length=0)
    if is_narrow(width):
        name_lines(right, lines)
    _draw_drops(right, lines)
    draw_dots(left, lines)
    legend_of(figure, marks_of(left, savings))
    return figure


def _draw_drops(axes: "Axes", lines: list[Line]) -> None:
    ink = axes.xaxis.label.get_color()
    metric = ACCURACY
    for place, (_, saving) in enumerate(lines):
        drop = saving.drop if saving is not None else None
        if saving is None or drop is None:
            continue
        metric, own = saving.metric or ACCURACY, colour(saving.method)
        if drop.low is not None and drop.high is not None:
            axes.plot([drop.low, drop.high], [place, place], color=own, linewidth=1.8)
        face = "none" if saving.beyond else own
        axes.plot(
            [drop.value],
            [place],
            marker=marker(saving.method),
            markersize=7,
            markerfacecolor=face,
            markeredgewidth=1.5,
            color=own,
        )
        limit = saving.pairs[0][0].tolerance
        axes.plot([limit] * 2, [place - 0.4, place + 0.4], color=ink, linestyle="--", linewidth=1.0)
    axes.axvline(0.0, color=ink, linewidth=1.0)
    below = f"{with_unit(f'{metric.name} drop', metric.unit)} (dashed: tolerance)"
    label_below(axes, below, columns_of([axes]))
    axes.grid(axis="y", visible=False)
