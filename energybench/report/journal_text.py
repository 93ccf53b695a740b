"""The cells of a journal as a table."""

from collections.abc import Iterable

from energybench.energy.units import format_kwh
from energybench.records.journal import Entry
from energybench.report.text import percent


def journal_table(entries: Iterable[Entry]) -> str:
    """One row per cell, in the order of the journal."""
    from tabulate import tabulate

    rows = [_row(entry) for entry in entries]
    headers = ["model", "method", "seed", "status", "energy", "epochs", "accuracy", "ended (UTC)"]
    return tabulate(rows, headers, disable_numparse=True)


def _row(entry: Entry) -> list[str]:
    record = entry.record
    return [
        record.model,
        record.method,
        str(record.seed),
        record.status if record.status == "ok" else f"{record.status}: {record.error}",
        format_kwh(record.kwh),
        str(len(record.epochs) or "-"),
        percent(record.accuracy, 2),
        entry.written_at.removesuffix("+00:00").replace("T", " "),
    ]
