"""A table as the page shows it: rows below the name of their model, notes below their row."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from energybench.report.tables.matrix_rows import Table
from energybench.report.text import BEYOND

_EMPTY = frozenset({"", "-"})
_PARTS = re.compile(r"(?P<text>.*?)(?P<aside> [\[(].*?)?(?P<mark> " + BEYOND + r")?", re.DOTALL)


@dataclass(frozen=True)
class Head:
    """The head of a column."""

    text: str
    number: bool
    """Whether the column holds numbers and is aligned to the right."""


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and what may stand in a second line."""

    head: str
    number: bool
    text: str
    aside: str = ""
    """An interval or another addition in brackets, "" without one."""
    beyond: bool = False
    """Whether the cell is marked as a drop beyond the tolerance."""


@dataclass(frozen=True)
class Line:
    """One row, with its note."""

    cells: tuple[Cell, ...]
    note: str = ""


@dataclass(frozen=True)
class Laid:
    """A table as the page shows it."""

    heads: tuple[Head, ...]
    groups: tuple[tuple[str, tuple[Line, ...]], ...]
    """Rows below each other under a name; one group without a name where no column is "model"."""
    words: bool
    """Whether no column holds numbers: a narrow page shows such cells below each other."""
    marked: bool
    """Whether a cell is marked as a drop beyond the tolerance."""


def lay_out(table: Table) -> Laid:
    """Return `table` in groups by model, without columns that tell nothing.

    The column "model" becomes the names of the groups, the column "note" a line below its row.
    """
    named = table.headers[:1] == ("model",)
    noted = table.headers[-1:] == ("note",)
    columns = [
        column
        for column in range(int(named), len(table.headers) - int(noted))
        if column <= int(named) or {row[column] for row in table.rows} - _EMPTY
    ]
    heads = tuple(Head(table.headers[column], column in table.numbers) for column in columns)
    groups = []
    for name, rows in groupby(table.rows, lambda row: row[0] if named else ""):
        lines = [
            Line(_cells(heads, [row[column] for column in columns]), row[-1] if noted else "")
            for row in rows
        ]
        groups.append((name, tuple(lines)))
    marked = any(cell.beyond for _, lines in groups for line in lines for cell in line.cells)
    return Laid(heads, tuple(groups), not table.numbers, marked)


def _cells(heads: Sequence[Head], texts: Sequence[str]) -> tuple[Cell, ...]:
    return tuple(_cell(head, text) for head, text in zip(heads, texts, strict=True))


def _cell(head: Head, text: str) -> Cell:
    found = _PARTS.fullmatch(text) if head.number else None
    if found is None:
        return Cell(head.text, head.number, text)
    aside = (found["aside"] or "").strip()
    return Cell(head.text, True, found["text"], aside, found["mark"] is not None)
