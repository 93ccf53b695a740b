"""The tables of a plan: what each cell takes, the memory of each rank, and how good it was."""

from collections.abc import Iterable, Sequence

from energybench.energy.units import format_kwh, format_seconds
from energybench.errors import printable
from energybench.records.forecast import Forecast, MemoryUse
from energybench.records.record import RunRecord
from energybench.report.forecast_quality import (
    HEADERS,
    NUMBERS,
    outcome_rows,
    outcomes,
    quality_line,
    range_text,
)
from energybench.report.quoting import text_table
from energybench.report.sections import Section
from energybench.report.tables.fitted import fitted, said
from energybench.report.tables.matrix_rows import Table
from energybench.report.text import number, size
from energybench.runs.forecasts.matrix import CellForecast, MatrixForecast

_LEAST = ("epochs from", "memory", "epochs", "s/epoch")
"""Columns of a plan that a narrow terminal can do without, the least important first."""


def plan_table(plan: MatrixForecast, width: int | None = None) -> str:
    """Return a table as text with one row per cell, in the order of the run.

    It has no more than `width` characters a line where it can do with fewer columns.
    """
    own = any(one.tolerance is not None for one in plan.cells)
    headers = ["model", "method", "seed", *(["tolerance"] if own else [])]
    headers += ["s/epoch", "epochs", "epochs from", "time", "energy", "memory"]
    headers += ["price"] if plan.price_per_kwh is not None else []
    rows = [_row(one, plan, own) for one in plan.cells]
    sides = ["left", "left", *["right"] * (len(headers) - 2)]
    sides[headers.index("epochs from")] = "left"
    text, left_out = fitted(headers, rows, sides, "simple", width, _LEAST)
    return "\n".join([text, *said(left_out, width)])


def _row(one: CellForecast, plan: MatrixForecast, own: bool) -> list[str]:
    row = [one.cell.model, one.cell.method, str(one.cell.seed)]
    if own:
        row.append("-" if one.tolerance is None else f"{one.tolerance:g}")
    found = one.forecast
    if found is None:
        missing = ["-", "-", "not measured", "-", "-", "-"]
        return [*row, *missing, *(["-"] if plan.price_per_kwh is not None else [])]
    energy = None if found.joules is None else plan.facility(found.joules)
    row += [
        range_text(found.seconds_per_epoch, number),
        range_text(found.epochs, lambda epochs: f"{epochs:g}"),
        found.epochs_from,
        range_text(found.seconds, format_seconds),
        range_text(energy, format_kwh),
        "-" if found.peak_bytes is None else size(found.peak_bytes),
    ]
    if plan.price_per_kwh is not None:
        row.append(range_text(plan.price(energy), number))
    return row


def memory_table(plan: MatrixForecast) -> str:
    """Return a table as text: the memory of each rank, once per model and method."""
    found: dict[tuple[str, str], Forecast] = {}
    for one, forecast in plan.known:
        found.setdefault((one.cell.model, one.cell.method), forecast)
    ranked = any(len(forecast.memory) > 1 for forecast in found.values())
    headers = ["model", "method", *(["rank"] if ranked else [])]
    headers += ["parameters", "gradients", "momentum", "activations", "peak"]
    rows = [
        [model, method, *([str(rank)] if ranked else []), *_sizes(use)]
        for (model, method), forecast in found.items()
        for rank, use in enumerate(forecast.memory)
    ]
    return text_table(rows, headers, sides=["left", "left", *["right"] * (len(headers) - 2)])


def _sizes(use: MemoryUse) -> list[str]:
    parts = (use.parameters, use.gradients, use.momentum, use.activations, use.peak)
    return [size(part) for part in parts]


def plan_lines(plan: MatrixForecast) -> list[str]:
    """Return the totals of a plan, its critical path and its notes, a line each."""
    lines = _said((one, [one.error or ""]) for one in plan.cells if one.forecast is None)
    if not plan.known:
        return lines
    whole = "all" if len(plan.known) == len(plan.cells) else "the measured"
    lines.append(f"{whole} {len(plan.known)} cells, one after the other: {_totals(plan)}")
    if plan.peak_bytes is not None:
        lines.append(f"largest memory of one rank: {size(plan.peak_bytes)}")
    longest = plan.longest_block
    if longest is not None:
        model, seed, seconds = longest
        lines.append(
            f"critical path: {model} seed {seed}, {range_text(seconds, format_seconds)}; "
            "the run takes that long where each model and seed has a machine of its own"
        )
    if plan.kwh is None:
        lines.append("no energy: no meter read the measured steps")
    return [*lines, *_said((one, found.notes) for one, found in plan.known), *plan.notes]


def _totals(plan: MatrixForecast) -> str:
    parts = [range_text(plan.seconds, format_seconds)]
    if plan.kwh is not None:
        parts.append(range_text(plan.kwh, format_kwh))
        sources = "+".join(dict.fromkeys(one.energy_source for _, one in plan.known))
        parts[-1] += f" of facility energy (PUE {plan.pue:g}, {sources})"
    price = plan.price(plan.kwh)
    if price is not None:
        parts.append(f"price {range_text(price, number)}")
    return "; ".join(parts)


def _said(notes: Iterable[tuple[CellForecast, Sequence[str]]]) -> list[str]:
    """Return each note once, behind the models and methods that it is on."""
    found: dict[str, list[str]] = {}
    for one, texts in notes:
        for note in texts:
            name = f"{one.cell.model} {one.cell.method}"
            if name not in found.setdefault(note, []):
                found[note].append(name)
    return [f"{', '.join(names)}: {note}" for note, names in found.items()]


def forecast_lines(records: Sequence[RunRecord], plan: str | None) -> list[str]:
    """Return how good the forecasts of ended cells were, for a terminal.

    `plan` is the file that the session was given; a line says so where no cell is in it.
    """
    found = outcomes(records)
    line = quality_line(found)
    if line is None:
        said = f"{plan} has no forecast of these cells: it is of other options or another machine"
        return [] if plan is None else [printable(said)]
    sides = ["right" if place in NUMBERS else "left" for place in range(len(HEADERS))]
    return [*text_table(outcome_rows(found), HEADERS, sides=sides).splitlines(), line]


def outcome_table(section: Section) -> Table:
    """Return the same table for a report."""
    found = outcomes(section.finished)
    return Table(HEADERS, tuple(outcome_rows(found)), NUMBERS, quality_line(found) or "")
