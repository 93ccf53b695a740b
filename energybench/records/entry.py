"""One line of a journal: a finished cell as checksummed JSON.

A line is `{"sha256": "<of the entry's bytes>", "entry": {...}}`.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from energybench.errors import UsageError
from energybench.records.bounds import MOST
from energybench.records.record import RunRecord, from_json
from energybench.records.schema import NewerSchemaError

SCHEMA_VERSION = 2
"""Version 2 makes other keys than version 1: `protocol` has other names since."""

HEAD = b'{"sha256":"'
_MIDDLE = b'","entry":'
_TAIL = b"}"


class DamagedLineError(Exception):
    """A line is not an entry; `str(error)` says why, in a phrase."""


@dataclass(frozen=True)
class Entry:
    """One cell that has ended, well or not."""

    key: str
    """A hash of all that shapes the cell; cells with equal keys are interchangeable."""
    record: RunRecord
    benchmark: dict[str, Any] | None
    """pytest-benchmark's entry, without the record; None where nothing was timed."""
    written_at: str
    """Date and time in UTC, ISO 8601."""
    schema_version: int = SCHEMA_VERSION
    """Version of the line: keys of different versions never match."""


def to_line(entry: Entry) -> bytes:
    """The line of `entry`, with its end."""
    data = {
        "schema_version": entry.schema_version,
        "key": entry.key,
        "written_at": entry.written_at,
        "benchmark": entry.benchmark,
        "record": entry.record.to_json(),
    }
    payload = json.dumps(data, separators=(",", ":")).encode()
    return b"".join((HEAD, _checksum(payload), _MIDDLE, payload, _TAIL, b"\n"))


def from_line(line: bytes) -> Entry:
    """The entry in `line`, which comes without its end.

    Raises `DamagedLineError` for anything else, and `NewerSchemaError` where a newer energybench
    wrote it.
    """
    start = len(HEAD) + 64
    if not (line.startswith(HEAD) and line[start:].startswith(_MIDDLE) and line.endswith(_TAIL)):
        raise DamagedLineError("not a whole entry")
    payload = line[start + len(_MIDDLE) : -len(_TAIL)]
    if line[len(HEAD) : start] != _checksum(payload):
        raise DamagedLineError("its checksum is wrong")
    return _entry(payload)


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode()


def _entry(payload: bytes) -> Entry:
    """The entry in bytes that have the right checksum, and may hold anything all the same."""
    from pydantic_core import from_json as parse  # refuses nesting that json would overflow on

    try:
        data = parse(payload, cache_strings="keys")
    except ValueError:
        raise DamagedLineError("its entry is not JSON") from None
    if not isinstance(data, dict):
        raise DamagedLineError("its entry is not an object")
    version = data.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise DamagedLineError("its entry has no schema_version")
    if version > SCHEMA_VERSION:
        raise NewerSchemaError("written by a newer energybench; upgrade energybench to read it")
    for name in ("key", "written_at"):
        if not isinstance(data.get(name), str):
            raise DamagedLineError(f"its {name} is not a text")
    if not _is_benchmark(data.get("benchmark")):
        raise DamagedLineError("its benchmark is not an entry of pytest-benchmark's")
    try:
        record = from_json(data.get("record"))
    except NewerSchemaError:
        raise
    except UsageError as error:
        raise DamagedLineError(str(error)) from error
    return Entry(data["key"], record, data.get("benchmark"), data["written_at"], version)


def _is_benchmark(data: Any) -> bool:
    """Whether `data` has what a resumed cell needs of it; None stands for an untimed cell."""
    if data is None:
        return True
    if not isinstance(data, dict) or not isinstance(data.get("extra_info"), dict):
        return False
    stats = data.get("stats")
    total = stats.get("total") if isinstance(stats, dict) else None
    return isinstance(total, int | float) and not isinstance(total, bool) and 0 <= total <= MOST
