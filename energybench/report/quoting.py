"""Text from files that others made, as plain text in terminals, Markdown and spreadsheets."""

import re
from collections.abc import Sequence

from energybench.errors import printable

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_NUMBER = re.compile(r"[+-](\d[\d.,]*( ?[%\w/]+)?( [\[(][^=]*)?)?")
"""What begins with a sign and is no formula: "-", "+40.0 %", "-0.02 m"."""


def markdown_text(text: str) -> str:
    """`text` for a sentence or a cell of Markdown: no tag, link or code begins in it."""
    text = re.sub(r"([\\`*])", r"\\\1", printable(text))
    return _TAG.sub("&lt;", text).replace("](", "]\\(")


def markdown_cell(text: str) -> str:
    """`text` for a cell of a Markdown table."""
    return markdown_text(text).replace("|", "\\|")


def spreadsheet_cell(text: str) -> str:
    """`text` for CSV and TSV; a spreadsheet takes it for a text, never for a formula."""
    text = printable(text)
    formula = text.startswith(("=", "@")) or (
        text.startswith(("+", "-")) and not _NUMBER.fullmatch(text)
    )
    return f"'{text}" if formula else text


_QUOTES = {"github": markdown_cell, "tsv": spreadsheet_cell}


def text_table(
    rows: Sequence[Sequence[object]],
    headers: Sequence[str],
    layout: str = "simple",
    sides: Sequence[str] | None = None,
) -> str:
    """Return a table in one of tabulate's formats, every cell quoted as the format needs it.

    `sides` aligns each column: "left" or "right". A header may have several lines.
    """
    from tabulate import tabulate  # here: only who shows a table needs it

    quote = _QUOTES.get(layout, printable)
    cells = [[quote(str(cell)) for cell in row] for row in rows]
    heads = ["\n".join(map(quote, head.split("\n"))) for head in headers]
    return tabulate(cells, heads, layout, colalign=sides, disable_numparse=True)
