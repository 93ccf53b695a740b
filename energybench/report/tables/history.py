"""What a run's history shows, as a table or JSON."""

import json
from collections.abc import Sequence

from energybench.errors import printable
from energybench.report.against import Finding, to_json
from energybench.report.quoting import markdown_text
from energybench.report.tables.compared import FORMATS
from energybench.report.tables.fitted import fitted, said

HEADERS = ["model", "method", "quantity", "result"]


def history_text(
    found: Sequence[Finding],
    notes: Sequence[str] = (),
    layout: str = "table",
    width: int | None = None,
) -> str:
    """Return a line per finding in one of `compared.FORMATS`, and the notes below a table."""
    if layout == "json":
        return json.dumps({"history": to_json(found), "notes": list(notes)}, indent=1)
    sides = ["left"] * len(HEADERS)
    text, left_out = fitted(
        HEADERS, history_rows(found), sides, FORMATS[layout] or "tsv", width, []
    )
    quote = markdown_text if layout == "markdown" else printable
    return "\n".join([text, *said(left_out, width), *([""] if notes else []), *map(quote, notes)])


def history_rows(found: Sequence[Finding]) -> list[list[str]]:
    """Return the cells of the table below `HEADERS`."""
    return [
        [
            one.key.model,
            one.key.method + (f" ({one.label})" if one.label else ""),
            one.limit.name,
            one.text,
        ]
        for one in found
    ]
