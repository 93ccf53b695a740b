"""Tables that fit a terminal: fewer columns, and a line that names those left out."""

from collections.abc import Sequence

from energybench.report.quoting import text_table


def fitted(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    sides: Sequence[str],
    layout: str,
    width: int | None,
    least: Sequence[str],
) -> tuple[str, list[str]]:
    """Return a table as text, and the names of the columns left out so that it fits `width`.

    `least` are names of columns, the least important first; a column of several runs has its name
    in the last line of its header. What is not among them stays, whatever the width. `sides` has
    each column's alignment, and `width` is in characters, None for any.
    """
    left_out: list[str] = []
    waiting = list(least)
    while True:
        kept = [i for i, header in enumerate(headers) if _name(header) not in left_out]
        text = text_table(
            [[row[i] for i in kept] for row in rows],
            [headers[i] for i in kept],
            layout,
            [sides[i] for i in kept] if rows else None,
        )
        if width is None or max(map(len, text.splitlines()), default=0) <= width:
            return text, left_out
        present = {_name(headers[i]) for i in kept}
        waiting = [name for name in waiting if name in present]
        if not waiting:
            return text, left_out
        left_out.append(waiting.pop(0))


def said(left_out: Sequence[str], width: int | None) -> list[str]:
    """Return a line that names the columns left out; no line where there are none."""
    if not left_out:
        return []
    return [f"left out, to fit {width} columns: {', '.join(left_out)}"]


def _name(header: str) -> str:
    return header.splitlines()[-1] if header else ""
