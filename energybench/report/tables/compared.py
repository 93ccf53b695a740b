"""A comparison of runs, and why its energies differ, as tables."""

import csv
import io
import json
from collections.abc import Callable, Sequence

from energybench.energy.units import format_kwh, format_seconds
from energybench.errors import printable
from energybench.records.metric import ACCURACY
from energybench.report.comparison import Column, ComparedRow, Comparison
from energybench.report.factors import NAMES, Factors, factors
from energybench.report.quoting import markdown_text, spreadsheet_cell
from energybench.report.savings import Saving
from energybench.report.scores import ScoreColumn, score_column
from energybench.report.stats import Estimate
from energybench.report.tables.compared_json import to_json
from energybench.report.tables.fitted import fitted, said
from energybench.report.text import number, times

FORMATS = {"table": "simple", "markdown": "github", "csv": None, "json": None}
"""Name of a format for the user -> tabulate's name; None for a format without a table."""
SENSOR_ERROR = 0.10
"""Relative difference between two boards that the gain of their sensors may explain."""

_COLUMNS: tuple[tuple[str, Callable[[Column], str]], ...] = (
    ("energy", lambda column: format_kwh(column.means["kwh"])),
    ("saving", lambda column: column.saving.text if column.saving else "-"),
    ("epochs", lambda column: number(column.means["epochs"])),
    ("time", lambda column: format_seconds(column.means["seconds"])),
    ("watts", lambda column: number(column.means["watts"])),
)


def comparison_text(
    comparison: Comparison,
    layout: str = "table",
    boards: bool = False,
    width: int | None = None,
) -> str:
    """Return the comparison in one of `FORMATS`; notes follow a table, and are in the JSON.

    With `boards`, a ratio between two boards that `SENSOR_ERROR` may explain is replaced by
    "within sensor error". A table wider than `width` characters has fewer columns, and a line that
    names them.
    """
    if layout == "json":
        return json.dumps(to_json(comparison), indent=1)
    if layout == "csv":
        return _csv(comparison)
    headers, table = comparison_rows(comparison, boards)
    sides = ["left", "left", *["right"] * (len(headers) - 2)]
    if any(row.label for row in comparison.rows):
        sides[2] = "left"
    score = _score_column(comparison).header
    least = ["watts", "time", score, "epochs", "energy", "drop"]
    if len(comparison.runs) > 1:
        least.append("saving")
    else:
        least.remove("energy")
    text, left_out = fitted(headers, table, sides, FORMATS[layout] or "", width, least)
    shown = [text, *said(left_out, width)] if table else ["no cell is in more than one run"]
    quote = markdown_text if layout == "markdown" else printable
    return "\n".join([*shown, *map(quote, comparison_notes(comparison))])


def comparison_rows(
    comparison: Comparison, boards: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Return headers, with the run's letter in a line of its own, and the rows of the table."""
    several = len(comparison.runs) > 1
    labelled = any(row.label for row in comparison.rows)
    score = _score_column(comparison)
    headers = ["model", "method", *(["setting"] if labelled else [])]
    names = [*(name for name, _ in _COLUMNS), score.header, "drop"]
    for place, letter in enumerate(comparison.letters):
        head = f"{letter}\n" if several else ""
        headers += [f"{head}{name}" for name in names]
        headers += [f"{head}ratio"] if place else []
    table = []
    for row in comparison.rows:
        line = [row.key.model, row.key.method, *([row.label] if labelled else [])]
        for place, run in enumerate(comparison.runs):
            column = row.columns.get(run)
            line += ["-"] * len(names) if column is None else _cells(column, score)
            line += [_ratio(column, boards)] if place else []
        table.append(line)
    return headers, table


def _score_column(comparison: Comparison) -> ScoreColumn:
    columns = (column for row in comparison.rows for column in row.columns.values())
    return score_column(record for column in columns for record in column.records)


def _cells(column: Column, score: ScoreColumn) -> list[str]:
    return [
        *(show(column) for _, show in _COLUMNS),
        score.value(column.metric, column.means["value"]),
        score.mean_drop(column.metric, column.drop),
    ]


def _ratio(column: Column | None, boards: bool) -> str:
    ratio = None if column is None else column.ratio
    if boards and ratio is not None and abs(ratio.value - 1.0) < SENSOR_ERROR:
        return "within sensor error"
    return times(ratio)


def comparison_notes(comparison: Comparison) -> list[str]:
    """Return an empty line, the runs behind the letters, and the comparison's notes; or nothing."""
    lines = []
    if len(comparison.runs) > 1:
        named = zip(comparison.letters, comparison.runs, strict=True)
        lines += [f"{letter}: {run}" for letter, run in named]
        lines.append("ratio: energy over A's")
    return ["", *lines, *comparison.notes] if lines or comparison.notes else []


def _csv(comparison: Comparison) -> str:
    """Return one line per row and run, numbers unrounded; the field of an unknown number is empty.

    If every metric is accuracy, the fields are `accuracy` and `drop_pp`; else `metric` is a field.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ratios = ("ratio", "ratio_to_baseline", "ratio_to_baseline_with_search")
    means = ["kwh", "epochs", "seconds", "watts"]
    if _score_column(comparison) == ScoreColumn(ACCURACY.name, named=False):
        means += ["accuracy", "drop_pp"]
    else:
        means += ["metric", "value", "drop", "drop_unit"]
    ends = [f"{name}{end}" for name in ratios for end in ("", "_low", "_high")]
    writer.writerow(["model", "method", "setting", "run", "seeds", *means, *ends])
    for row, data in zip(comparison.rows, to_json(comparison)["rows"], strict=True):
        for run, column in data["runs"].items():
            found = [column[name] or {} for name in ratios]
            numbers = [one.get(key) for one in found for key in ("value", "low", "high")]
            seeds = " ".join(map(str, column["seeds"]))
            writer.writerow(
                [*map(spreadsheet_cell, (row.key.model, row.key.method, row.label, run, seeds))]
                + [column[name] for name in means]
                + numbers
            )
    return out.getvalue().rstrip("\n")


def why_text(comparison: Comparison, layout: str = "simple", width: int | None = None) -> str:
    """Return every ratio of energies as a product of factors, each with its share of the log ratio.

    Within a run the ratio is method / baseline, and method / strongest control; between runs it is
    the cell's energy / the energy of the same cell in the first run. `width` is as in
    `comparison_text`.
    """
    several = len(comparison.runs) > 1
    table = []
    for row in comparison.rows:
        for run, column in row.columns.items():
            where = [run] if several else []
            if column.saving is not None:
                table += [[*where, *line] for line in _why_saved(row, column.saving)]
            if run in row.pairs and column.ratio is not None:
                found = factors(row.pairs[run])
                table.append([*where, *_why(row, comparison.runs[0], column.ratio, found, ())])
    headers = [*(["run"] if several else []), "model", "method", "over", "ratio", *NAMES, "note"]
    sides = ["left"] * (len(headers) - 6) + ["right"] * 5 + ["left"]
    if not table:
        return "nothing to explain: no cell has a baseline or a counterpart with known energy"
    text, left_out = fitted(headers, table, sides, layout, width, ["note", "over", *NAMES[::-1]])
    return "\n".join([text, *said(left_out, width)])


def _why_saved(row: ComparedRow, saved: Saving) -> list[list[str]]:
    lines = [_why(row, saved.base, saved.energy, saved.factors, saved.flags)]
    if saved.control is not None:
        lines.append(_why(row, saved.control, saved.against_control, saved.control_factors, ()))
    return lines


def _why(
    row: ComparedRow,
    over: str,
    ratio: Estimate | None,
    found: Factors | None,
    notes: Sequence[str],
) -> list[str]:
    parts = ["-"] * len(NAMES) if found is None else found.texts
    method = row.key.method + (f" ({row.label})" if row.label else "")
    return [row.key.model, method, over, times(ratio), *parts, "; ".join(notes)]
