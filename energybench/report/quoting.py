"""Text from files that others made, as plain text in terminals, Markdown and spreadsheets."""

import re
from collections.abc import Sequence

from energybench.errors import printable

_NOT_PLAIN = re.compile(r""":(?! )|[!"#$&*<>?@[\\\]^_`{|}~\u200b]""")
"""Punctuation that may have a meaning in GitHub's Markdown, within a line that others begin."""
_LINKED = re.compile(r"(?i)(www(?=\.)|gh(?=-\d))")
"""Beginnings of links without punctuation of their own: www.example.org, GH-12."""
_BREAK = "&#8203;"
"""A space of no width: GitHub finds users, issues and links in the text after escapes are gone."""
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


def github_text(text: str, longest: int = 200) -> str:
    """`text` as plain text in GitHub's Markdown, within a sentence or a cell of a table.

    Nothing begins in it: no tag, link, code, formula, or other cell. It mentions no user and no
    issue, and holds `longest` characters at most, not counting escapes. Punctuation is written as
    numeric references, which CommonMark takes for text; GitHub's documentation has the span around
    a dollar sign ("Writing mathematical expressions").
    """
    text = printable(text)
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return _NOT_PLAIN.sub(_referenced, _LINKED.sub("\\1\u200b", text))


def _referenced(found: re.Match[str]) -> str:
    one = found[0]
    if one == "$":
        return "<span>&#36;</span>"
    return f"&#{ord(one)};" + (_BREAK if one in "@#:" else "")


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
