"""A journal's cells as the JSON that pytest-benchmark would have written."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from energybench.energy.machine import describe_machine
from energybench.records.entry import Entry
from energybench.records.record import RunRecord


def benchmark_json(entries: Iterable[Entry], version: str) -> dict[str, Any]:
    """A saved run as pytest-benchmark `version` reads it; cells without a timing stand beside it.

    The facts of the machine are those of the last cell. Raises ValueError without any entry.
    """
    entries = list(entries)
    if not entries:
        raise ValueError("a run has at least one cell")
    last = entries[-1]
    found = _run(last.record.machine, last.written_at, version)
    found["benchmarks"] += [
        with_record(entry.benchmark, entry.record) for entry in entries if entry.benchmark
    ]
    found["energybench"]["records"] += [
        entry.record.to_json() for entry in entries if not entry.benchmark
    ]
    return found


def saved_run(
    records: Iterable[RunRecord], written_at: str, version: str, commit: str
) -> dict[str, Any]:
    """A saved run of records that no benchmark carries, of the code at `commit` without changes.

    Raises ValueError without any record.
    """
    found = [record.to_json() for record in records]
    if not found:
        raise ValueError("a run has at least one cell")
    data = _run(found[-1]["machine"], written_at, version)
    data["commit_info"]["id"] = commit
    data["energybench"]["records"] = found
    return data


def without_cells(version: str) -> dict[str, Any]:
    """A saved run of this machine and moment that has no cell yet, as in `benchmark_json`."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return _run(describe_machine().to_json(), now, version)


def _run(machine: dict[str, Any], written_at: str, version: str) -> dict[str, Any]:
    return {
        "machine_info": _machine_info(machine),
        "commit_info": {"id": "unknown", "dirty": False, "project": "", "branch": "unknown"},
        "benchmarks": [],
        "datetime": written_at,
        "version": version,
        "energybench": {"records": []},
    }


def with_record(benchmark: dict[str, Any], record: RunRecord) -> dict[str, Any]:
    """pytest-benchmark's entry with the record in its `extra_info`."""
    extra = benchmark.get("extra_info", {}) | {"energybench": record.to_json()}
    return benchmark | {"extra_info": extra}


def _machine_info(machine: dict[str, Any]) -> dict[str, Any]:
    """pytest-benchmark's facts of the machine, as far as a record's `machine` has them."""
    return {
        "node": "",
        "machine": "",
        "system": str(machine.get("os")),
        "release": "",
        "python_version": machine.get("python"),
        "python_implementation": "CPython",
        "cpu": {"brand_raw": machine.get("cpu"), "count": machine.get("logical_cores")},
        "energybench": machine,
    }
