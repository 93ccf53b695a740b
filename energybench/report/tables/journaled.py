"""The cells of a journal as a table."""

from collections.abc import Iterable

from energybench.energy.units import format_kwh
from energybench.records.entry import Entry
from energybench.report.quoting import text_table
from energybench.report.scores import ScoreColumn, score_column
from energybench.report.text import status_text


def journal_table(entries: Iterable[Entry]) -> str:
    """Return a table with one row per cell, in the order of the journal."""
    entries = list(entries)
    score = score_column(entry.record for entry in entries)
    rows = [_row(entry, score) for entry in entries]
    headers = ["model", "method", "seed", "status", "energy", "epochs", score.header, "ended (UTC)"]
    return text_table(rows, headers)


def _row(entry: Entry, score: ScoreColumn) -> list[str]:
    record = entry.record
    return [
        record.model,
        record.method,
        str(record.seed),
        status_text(record),
        format_kwh(record.kwh),
        str(record.epoch_count or "-"),
        score.value(record.metric, record.value),
        entry.written_at.removesuffix("+00:00").replace("T", " "),
    ]
