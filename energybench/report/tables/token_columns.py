"""Columns that language models have beside accuracy and drop."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from energybench.records.record import RunRecord


@dataclass(frozen=True)
class TokenColumn:
    """One column of a table of cells."""

    header: str
    read: Callable[[RunRecord], float | None]

    def value(self, record: RunRecord) -> float | None:
        """Return the number of a cell; None for one whose items are no tokens."""
        return self.read(record) if _counts_tokens(record) else None


TOKEN_COLUMNS = (
    TokenColumn("perplexity", lambda record: record.perplexity),
    TokenColumn("tokens/s", lambda record: record.items_per_s),
    TokenColumn("J per 1,000 tokens", lambda record: record.joules_per_1000_items),
)
"""Of the test the perplexity; of fine-tuning the rate and the IT energy, validation included."""


def token_columns(records: Iterable[RunRecord]) -> tuple[TokenColumn, ...]:
    """Return `TOKEN_COLUMNS` where a record counts tokens; nothing for images alone."""
    return TOKEN_COLUMNS if any(map(_counts_tokens, records)) else ()


def _counts_tokens(record: RunRecord) -> bool:
    return record.dataset.item == "token"
