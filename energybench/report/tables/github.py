"""Comparisons as GitHub shows them: a verdict in one line, and a table that is folded away.

The text fits a comment (65,536 characters, by the error of GitHub's API) and so a step's summary
(1 MiB, by that of its runner). Names come from files of others and are escaped, see `github_text`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from energybench.records.record import RunRecord
from energybench.report.against import Finding
from energybench.report.calls import CallComparison
from energybench.report.comparison import Comparison
from energybench.report.gate import Limit, Verdict
from energybench.report.quoting import github_text
from energybench.report.tables.compared import comparison_notes, comparison_rows
from energybench.report.tables.compared_calls import calls_notes, calls_rows
from energybench.report.tables.history import HEADERS, history_rows
from energybench.report.text import TOO_FEW

LARGEST = 65_000
"""The most bytes of a text."""
_SENTENCE = 600
"""The most characters of a sentence that names cells."""


_ESTIMATE = " Energy is an estimate here, not a measurement."
_FEW = f" ({TOO_FEW})"
_NO_ENDS = f"no interval: two to four seeds are {TOO_FEW}"


@dataclass(frozen=True)
class _Part:
    """Lines of one kind in the folded part; the last ones may be cut."""

    noun: str
    lines: Sequence[str]
    head: Sequence[str] = ()
    """Lines above them, which are not counted."""


def comparison_github(
    comparison: Comparison,
    limits: Sequence[Limit] = (),
    verdict: Verdict | None = None,
    boards: bool = False,
) -> str:
    """Return the comparison, with the `verdict` on `limits`; None where nothing was judged.

    `boards` is as in `compared.comparison_text`.
    """
    columns = (column for row in comparison.rows for column in row.columns.values())
    size = f"{_counted(len(comparison.rows), 'row')} of {_counted(len(comparison.runs), 'run')}"
    headers, table = _ratios_first(*comparison_rows(comparison, boards))
    few = any(_FEW in cell for line in table for cell in line)
    parts = [
        *_listed("offences", verdict.offences if verdict else ()),
        *_listed("limits not applied", verdict.unknown if verdict else ()),
        _table(headers, [[cell.replace(_FEW, "") for cell in line] for line in table]),
        *_listed(
            "notes", [*filter(None, comparison_notes(comparison)), *([_NO_ENDS] if few else [])]
        ),
    ]
    text = _judged(comparison, limits, verdict) or f"**{size}**, no limit given."
    return _folded(text + _doubt(one for column in columns for one in column.records), size, parts)


def calls_github(
    comparison: CallComparison, limits: Sequence[Limit] = (), verdict: Verdict | None = None
) -> str:
    """Return energies per call, with the `verdict` on `limits`; None where nothing was judged."""
    size = f"{_counted(len(comparison.tests), 'test')} of {_counted(len(comparison.runs), 'run')}"
    if verdict is not None and verdict.offences:
        text = _worse(verdict.offences, limits)
    elif verdict is not None:
        text = f"**Within the limits** ({_limits(limits)}): {size}."
    else:
        text = f"**{size}**, no limit given."
    kinds = {energy.kind for test in comparison.tests for energy in test.energies.values()}
    if any("estimated" in kind for kind in kinds):
        text += _ESTIMATE
    headers, rows = calls_rows(comparison)
    parts = [
        *_listed("offences", verdict.offences if verdict else ()),
        *_listed("limits not applied", verdict.unknown if verdict else ()),
        _table([" ".join(head.split()) for head in headers], rows),
        *_listed("notes", list(filter(None, calls_notes(comparison)))),
    ]
    return _folded(text, size, parts)


def _judged(comparison: Comparison, limits: Sequence[Limit], verdict: Verdict | None) -> str | None:
    if not comparison.comparable or not comparison.rows:
        return "**Nothing to compare**: no cell is in the first run and in another."
    if verdict is None:
        return None
    if verdict.refused is not None:
        return f"**Not judged**: {_named(verdict.refused)}."
    if verdict.offences:
        return _worse(verdict.offences, limits)
    judged = _counted(len(comparison.rows), "row")
    text = f"**Within the limits** ({_limits(limits)}): {judged} compared."
    missing = len(verdict.unknown)
    return f"{text} Of what the limits say, {missing} could not be applied." if missing else text


def history_github(
    found: Sequence[Finding],
    limits: Sequence[Limit] = (),
    failed: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return what a history shows.

    `limits` are those that the user gave, `failed` the lines on cells that fail now, `notes` those
    on the files of the history.
    """
    offences = [*(f"{one.where}: {one.text}" for one in found if one.exceeded), *failed]
    known = sum(one.found is not None for one in found)
    if offences and limits:
        text = _worse(offences, limits)
    elif offences:
        text = f"**Regression**: {_first(offences)}."
    elif not known:
        text = "**Too few runs** to find a step: the history has just begun."
    else:
        beyond = f" beyond the limits ({_limits(limits)})" if limits else ""
        text = f"**No regression{beyond}** in {known} series of runs."
    parts = [
        *_listed("offences", offences),
        _table(HEADERS, history_rows(found)),
        *_listed("notes", notes),
    ]
    latest = (record for one in found for record in one.runs[-1].records)
    return _folded(text + _doubt(latest), f"{len(found)} series of runs", parts)


def _ratios_first(
    headers: Sequence[str], table: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Return the table with the ratios beside the names: many columns scroll on GitHub."""
    names = [" ".join(head.split()) for head in headers]
    start = 3 if "setting" in names else 2
    order = sorted(range(len(names)), key=lambda n: (n >= start, not names[n].endswith("ratio"), n))
    return [names[n] for n in order], [[line[n] for n in order] for line in table]


def _worse(offences: Sequence[str], limits: Sequence[Limit]) -> str:
    return f"**Worse than allowed** ({_limits(limits)}): {_first(offences)}."


def _first(lines: Sequence[str]) -> str:
    return _named(lines[0]) + (f"; and {len(lines) - 1} more" if len(lines) > 1 else "")


def _named(text: str) -> str:
    return github_text(text, _SENTENCE)


def _limits(limits: Sequence[Limit]) -> str:
    return _named(", ".join(map(str, limits)))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _doubt(records: Iterable[RunRecord]) -> str:
    estimated = any(record.estimated for record in records)
    return _ESTIMATE if estimated else ""


def _listed(noun: str, lines: Sequence[str]) -> list[_Part]:
    return [_Part(noun, [f"- {_named(line)}" for line in lines], [""])] if lines else []


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> _Part:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(map(github_text, cells))} |"

    ruler = f"|{' --- |' * len(headers)}"
    return _Part("rows", list(map(line, rows)), ["", line(headers), ruler])


def _folded(verdict: str, summary: str, parts: Sequence[_Part]) -> str:
    """Return the whole text; what is beyond `LARGEST` bytes is cut from the parts, and counted."""
    opening = [f"energybench: {verdict}", "", f"<details><summary>{summary}</summary>"]
    left = LARGEST - 500 - sum(map(_bytes, opening))  # 500: the end, and the sentence on cuts
    body, cut = [], []
    for part in parts:
        left -= sum(map(_bytes, part.head))
        kept = 0
        for line in part.lines:
            if _bytes(line) > left:
                break
            left -= _bytes(line)
            kept += 1
        body += [*part.head, *part.lines[:kept]] if kept else []
        if kept < len(part.lines):
            cut.append(f"{len(part.lines) - kept} of {len(part.lines)} {part.noun}")
    if cut:
        body += ["", f"Left out, to fit GitHub's limit: {', '.join(cut)}; the terminal has all."]
    return "\n".join([*opening, *body, "", "</details>"])


def _bytes(line: str) -> int:
    return len(line.encode()) + 1
