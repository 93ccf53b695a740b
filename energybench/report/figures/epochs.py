"""The course of single cells: epochs, the search for capacity, power over time."""

from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING

from energybench.energy.coverage import total
from energybench.energy.units import kwh
from energybench.records.metric import ACCURACY
from energybench.records.record import RunRecord
from energybench.report.scores import metric_of, value_axis, worst_within
from energybench.report.sections import Section
from energybench.report.style import (
    WIDTH,
    colour,
    columns_of,
    legend_below,
    marker,
    name_axes,
    panels,
    wrapped,
)
from energybench.report.text import setting_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def epoch_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw the joules per epoch of the first seed's cells."""
    found = _first_seeds(section, lambda record: any(e.joules is not None for e in record.epochs))
    return _per_model(found, width, _draw_epochs, "epoch", "joules per epoch (IT)")


def _draw_epochs(axes: "Axes", record: RunRecord, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    known = [(epoch.epoch, epoch.joules) for epoch in record.epochs if epoch.joules is not None]
    numbers, joules = zip(*known, strict=True)
    axes.plot(
        numbers,
        joules,
        color=colour(record.method),
        marker=marker(record.method),
        markersize=4,
        linewidth=1.4,
        label=label,
    )
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.1 * max(joules)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def target_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw the validation metric over the facility energy of fine-tuning, for the first seed.

    Cells with another metric than the first cell's, or an epoch of unknown energy, are left out.
    """
    metric = metric_of(one for row in section.rows.values() for one in row.values())
    found = _first_seeds(section, lambda one: _has_course(one) and one.metric == metric)
    return _per_model(
        found, width, _draw_target, "Wh of fine-tuning", f"validation {value_axis(metric)}"
    )


def _has_course(record: RunRecord) -> bool:
    return record.target is not None and all(one.joules is not None for one in record.epochs)


def _draw_target(axes: "Axes", record: RunRecord, label: str) -> None:
    metric, target = record.metric, record.target
    if metric is None or target is None:
        return
    joules = [0.0, *accumulate(one.joules or 0.0 for one in record.epochs)]
    energies = [1000 * kwh(one, record.pue) for one in joules]
    values = [one.validation_metric for one in record.epochs]
    if record.start is None:
        del energies[0]
    else:
        values.insert(0, record.start.compressed.value)
    axes.plot(
        energies,
        [metric.scale * value for value in values],
        color=colour(record.method),
        marker=marker(record.method),
        markersize=4,
        linewidth=1.4,
        label=label,
    )
    ink = axes.xaxis.label.get_color()
    axes.axhline(metric.scale * target.value, color=ink, linestyle="--", linewidth=1.0)
    axes.set_xlim(left=0)


def capacity_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw the validation score against the bits that a search cleared, for the first seed.

    Cells with another metric than the first cell's are left out.
    """
    metric = metric_of(one for row in section.rows.values() for one in row.values())
    found = _first_seeds(section, lambda one: _has_bits(one) and (one.metric or ACCURACY) == metric)
    beside = f"validation {value_axis(metric)}"
    return _per_model(found, width, _draw_capacity, "low-order bits cleared", beside, _cleared)


def _has_bits(record: RunRecord) -> bool:
    report = record.compression
    return bool(report and report.curve and "bits" in report.settings)


def _cleared(cells: "list[tuple[str, RunRecord]]") -> str:
    """Return the bits that the searches cleared: "19 [18, 20] bits cleared", by method if many."""
    found = {
        label: f"{report.settings['bits']:g}{setting_ends(report.interval)}"
        for label, record in cells
        if (report := record.compression) is not None
    }
    if len(set(found.values())) == 1:
        return f"{next(iter(found.values()))} bits cleared"
    return f"{', '.join(f'{label} {bits}' for label, bits in found.items())} bits cleared"


def _draw_capacity(axes: "Axes", record: RunRecord, label: str) -> None:
    report = record.compression
    if report is None:
        return
    bits, scores = zip(*sorted(report.curve), strict=True)
    own, metric = colour(record.method), record.metric or ACCURACY
    axes.plot(
        bits,
        [metric.scale * score for score in scores],
        color=own,
        marker=marker(record.method),
        markersize=4,
        linewidth=1.4,
        label=label,
    )
    chosen = float(report.settings["bits"])
    axes.axvline(chosen, color=own, linestyle=":", linewidth=1.4)
    if report.reference_score is not None:
        worst = worst_within(metric, report.reference_score, record.tolerance)
        ink = axes.xaxis.label.get_color()
        axes.axhline(worst, color=ink, linestyle="--", linewidth=1.0, label="tolerance")
    axes.set_xlim(0, 32)
    if metric.is_share:
        axes.set_ylim(0, 103)


def power_figure(section: Section, width: float = WIDTH) -> "Figure | None":
    """Draw power over time for the cells whose power was sampled."""
    found = _first_seeds(section, lambda record: record.trace is not None)
    return _per_model(found, width, _draw_power, "seconds", "watts (IT)")


def _draw_power(axes: "Axes", record: RunRecord, label: str) -> None:
    trace = record.trace
    if trace is None:
        return
    totals = [
        total(dict(zip(trace.watts, sample, strict=True)))
        for sample in zip(*trace.watts.values(), strict=True)
    ]
    drawn = [(time, watts) for time, watts in zip(trace.time_s, totals, strict=True) if watts]
    if drawn:
        times, watts = zip(*drawn, strict=True)
        axes.step(
            times, watts, where="pre", color=colour(record.method), linewidth=1.4, label=label
        )
        axes.set_ylim(0, max(axes.get_ylim()[1], 1.1 * max(watts)))


def _first_seeds(
    section: Section, wanted: Callable[[RunRecord], bool]
) -> dict[str, list[tuple[str, RunRecord]]]:
    """Return model -> (label, record) of every method, in its first setting with the first seed."""
    found: dict[str, list[tuple[str, RunRecord]]] = {}
    seen: set[tuple[str, str]] = set()
    for key, row in section.rows.items():
        record = row[min(row)]
        if wanted(record) and (key.model, key.method) not in seen:
            seen.add((key.model, key.method))
            setting = section.labels[key]
            label = f"{key.method} ({setting})" if setting else key.method
            found.setdefault(key.model, []).append((label, record))
    return found


def _per_model(
    found: dict[str, list[tuple[str, RunRecord]]],
    width: float,
    draw: "Callable[[Axes, RunRecord, str], None]",
    below: str,
    beside: str,
    about: Callable[[list[tuple[str, RunRecord]]], str] | None = None,
) -> "Figure | None":
    """Draw one panel per model, with one curve per cell; `about` adds a line to its title."""
    if not found:
        return None
    figure, places = panels(len(found), width)
    for axes, (model, cells) in zip(places, found.items(), strict=True):
        for label, record in cells:
            draw(axes, record, label)
        title = [model] if about is None else [model, about(cells)]
        room = width / columns_of(places) - 0.7
        axes.set_title("\n".join(wrapped(one, room) for one in title), fontsize=10)
    name_axes(places, below, beside)
    legend_below(figure, places)
    return figure
