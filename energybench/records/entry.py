"""One line of a journal: a finished cell, or an event, as checksummed JSON.

A line is `{"sha256": "<of the entry's bytes>", "entry": {...}}`.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from energybench.errors import UsageError
from energybench.records.bounds import MOST
from energybench.records.event import KINDS, Event, Origin
from energybench.records.record import RunRecord, from_json
from energybench.records.schema import NewerSchemaError, read_versioned

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
    origin: Origin | None = None
    """Where on a cluster the cell ran; None for an ordinary session."""

    @property
    def seconds(self) -> float | None:
        """Seconds that pytest-benchmark timed, else those of `RunRecord.main`; None without any.

        Nothing was timed of a cell that waited for its baseline when its run ended.
        """
        if self.benchmark is not None:
            return float(self.benchmark["stats"]["total"])
        main = self.record.main
        return None if main is None else main.duration_s


def to_line(entry: Entry | Event) -> bytes:
    """The line of `entry`, with its end."""
    data = _event_data(entry) if isinstance(entry, Event) else _entry_data(entry)
    payload = json.dumps(data, separators=(",", ":")).encode()
    return b"".join((HEAD, _checksum(payload), _MIDDLE, payload, _TAIL, b"\n"))


def _entry_data(entry: Entry) -> dict[str, Any]:
    return {
        "schema_version": entry.schema_version,
        "key": entry.key,
        "written_at": entry.written_at,
        **({} if entry.origin is None else {"origin": asdict(entry.origin)}),
        "benchmark": entry.benchmark,
        "record": entry.record.to_json(),
    }


def _event_data(event: Event) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, **asdict(event)}


def from_line(line: bytes) -> Entry | Event:
    """The entry or event in `line`, which comes without its end.

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


def _entry(payload: bytes) -> Entry | Event:
    """The line in bytes that have the right checksum, and may hold anything all the same."""
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
    if "what" in data:
        return _event(data)
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
    origin = _origin(data.get("origin"))
    return Entry(data["key"], record, data.get("benchmark"), data["written_at"], version, origin)


def _event(data: dict[str, Any]) -> Event:
    try:
        event: Event = read_versioned(data, _EventData, "event", SCHEMA_VERSION).event
    except UsageError as error:
        raise DamagedLineError(str(error)) from error
    if event.what not in KINDS:
        raise DamagedLineError(f"an event is called {event.what}; known: {', '.join(KINDS)}")
    return event


@dataclass(frozen=True)
class _EventData(Event):
    schema_version: int = SCHEMA_VERSION

    @property
    def event(self) -> Event:
        return Event(self.what, self.written_at, self.origin, self.cell, self.reason)


def _origin(data: Any) -> Origin | None:
    """The place in `data`; None where it has none."""
    if data is None:
        return None
    try:
        return read_versioned({**data, "schema_version": 1}, _OriginData, "origin", 1).origin
    except (TypeError, UsageError) as error:
        raise DamagedLineError(str(error)) from error


@dataclass(frozen=True)
class _OriginData(Origin):
    schema_version: int = 1

    @property
    def origin(self) -> Origin:
        return Origin(self.node, self.job, self.restart)


def _is_benchmark(data: Any) -> bool:
    """Whether `data` has what a resumed cell needs of it; None stands for an untimed cell."""
    if data is None:
        return True
    if not isinstance(data, dict) or not isinstance(data.get("extra_info"), dict):
        return False
    stats = data.get("stats")
    total = stats.get("total") if isinstance(stats, dict) else None
    return isinstance(total, int | float) and not isinstance(total, bool) and 0 <= total <= MOST
