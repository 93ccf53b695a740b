"""A comparison of energies per call as a table, Markdown, CSV or JSON."""

import csv
import io
from typing import Any

from energybench.energy.units import format_joules
from energybench.errors import printable
from energybench.report.calls import CallComparison, ComparedTest
from energybench.report.quoting import markdown_text, spreadsheet_cell, text_table
from energybench.report.tables.compared import FORMATS
from energybench.report.text import times


def calls_text(comparison: CallComparison, layout: str = "table") -> str:
    """Return the comparison in one of the formats with lines: "table", "markdown" or "csv"."""
    if layout == "csv":
        return _csv(comparison)
    headers, rows = calls_rows(comparison)
    sides = ["left", *["right"] * (len(headers) - 2), "left"]
    text = text_table(rows, headers, FORMATS[layout] or "", sides if rows else None)
    quote = markdown_text if layout == "markdown" else printable
    shown = [text] if rows else ["no test is in more than one run"]
    return "\n".join([*shown, *map(quote, calls_notes(comparison))])


def calls_rows(comparison: CallComparison) -> tuple[list[str], list[list[str]]]:
    """Return the headers, of one line or two, and a row per test."""
    several = len(comparison.runs) > 1
    headers = ["test"]
    for place, letter in enumerate(comparison.letters):
        headers.append(f"{letter}\njoules" if several else "joules")
        if place:
            headers.append(f"{letter}\nratio")
    headers.append("source")
    return headers, [_row(comparison, test) for test in comparison.tests]


def calls_json(comparison: CallComparison) -> dict[str, Any]:
    """Return the comparison as plain dicts and lists; ratios are over the first run's joules."""
    tests = [
        {
            "test": test.name,
            "runs": {run: energy.to_json() for run, energy in test.energies.items()},
            "ratios": {
                run: {"value": one.value, "low": one.low, "high": one.high}
                for run, ratio in test.ratios.items()
                for one in [ratio.estimate]
            },
        }
        for test in comparison.tests
    ]
    notes = [*comparison.refusals, *comparison.notes]
    return {"runs": list(comparison.runs), "tests": tests, "notes": notes}


def _row(comparison: CallComparison, test: ComparedTest) -> list[str]:
    row = [test.name]
    for place, run in enumerate(comparison.runs):
        energy, ratio = test.energies.get(run), test.ratios.get(run)
        row.append("-" if energy is None else format_joules(energy.joules_per_call))
        if place:
            row.append("-" if ratio is None else times(ratio.estimate))
    sources = dict.fromkeys(energy.source for energy in test.energies.values())
    return [*row, " | ".join(sources)]


def calls_notes(comparison: CallComparison) -> list[str]:
    """Return the lines below the table: the runs' letters, refusals and notes."""
    if len(comparison.runs) < 2:
        return []
    named = zip(comparison.letters, comparison.runs, strict=True)
    legend = [f"{letter}: {run}" for letter, run in named]
    return ["", *legend, "ratio: joules over A's", *comparison.refusals, *comparison.notes]


def _csv(comparison: CallComparison) -> str:
    """Return one line per test and run, numbers unrounded; what is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["test", "run", "joules", "watts", "calls", "source", "ratio", "ratio_low", "ratio_high"]
    )
    for test in comparison.tests:
        for run, energy in test.energies.items():
            ratio = test.ratios[run].estimate if run in test.ratios else None
            ends = (None, None, None) if ratio is None else (ratio.value, ratio.low, ratio.high)
            numbers = [energy.joules_per_call, energy.watts, energy.calls]
            names = map(spreadsheet_cell, (test.name, run))
            writer.writerow([*names, *numbers, spreadsheet_cell(energy.source), *ends])
    return out.getvalue().rstrip("\n")
