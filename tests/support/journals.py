"""Entries of journals."""

from energybench.records.journal import Entry
from energybench.records.record import RunRecord
from support.saved_runs import cell

BENCHMARK = {"name": "test_finetune", "stats": {"total": 2.5}, "extra_info": {"kwh": 1.0}}


def entry(key: str = "k", record: RunRecord | None = None) -> Entry:
    return Entry(key, record or cell(), BENCHMARK, "2026-01-01T00:00:00+00:00")
