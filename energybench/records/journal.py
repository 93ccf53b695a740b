"""Finished cells, kept the moment they are done: an append-only file of checksummed JSON lines.

A line is `{"sha256": "<of the entry's bytes>", "entry": {...}}`. What a power cut or another hand
did to one line costs that line only.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from energybench.errors import UsageError
from energybench.records.record import RunRecord, from_json

SCHEMA_VERSION = 1

_HEAD = b'{"sha256":"'
_MIDDLE = b'","entry":'
_TAIL = b"}"
_LOCK_S = 60.0
"""Seconds to wait for another run that writes its line."""


@dataclass(frozen=True)
class Entry:
    """One cell that has ended, well or not."""

    key: str
    """Equal for cells that may stand for each other."""
    record: RunRecord
    benchmark: dict[str, Any] | None
    """pytest-benchmark's entry, without the record; None where nothing was timed."""
    written_at: str
    """Date and time in UTC, ISO 8601."""


@dataclass(frozen=True)
class Contents:
    """All of a journal that can be read."""

    entries: tuple[Entry, ...]
    damaged: tuple[str, ...]
    """A phrase per line that cannot be read: "line 3: its checksum is wrong"."""

    @property
    def latest(self) -> dict[str, Entry]:
        """Key -> the last entry under it, in the order of their first ones."""
        return {entry.key: entry for entry in self.entries}


class Journal:
    """The journal at `path`; several runs may append to one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: Entry) -> None:
        """Write `entry` and wait until the disk has it.

        Raises `UsageError` where it cannot be written; nothing of it is left behind then.
        """
        line = _line(entry)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                _append(self.path, line)
        except OSError as error:
            raise UsageError(
                f"cannot write the journal {self.path} ({error.strerror or error}); free some "
                "space there, or name another file by --energy-journal"
            ) from error

    def read(self) -> Contents:
        """What is in the journal; a file that is not there is empty.

        Raises `UsageError` where it cannot be read, or was written by a newer energybench.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return Contents((), ())
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from error
        entries, damaged = [], []
        for number, line in enumerate(data.split(b"\n"), start=1):
            if not line:
                continue
            try:
                entries.append(_entry(line))
            except _DamagedError as error:
                damaged.append(f"line {number}: {error}")
            except UsageError as error:
                raise UsageError(f"{self.path}, line {number}: {error}") from error
        return Contents(tuple(entries), tuple(damaged))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            with FileLock(f"{self.path}.lock", timeout=_LOCK_S):
                yield
        except Timeout as error:
            raise OSError(
                f"another process has held {error.lock_file} for {_LOCK_S:.0f} s"
            ) from None


class _DamagedError(Exception):
    """Why a line is not an entry."""


def _line(entry: Entry) -> bytes:
    data = {
        "schema_version": SCHEMA_VERSION,
        "key": entry.key,
        "written_at": entry.written_at,
        "benchmark": entry.benchmark,
        "record": entry.record.to_json(),
    }
    payload = json.dumps(data, separators=(",", ":")).encode()
    return b"".join((_HEAD, _checksum(payload), _MIDDLE, payload, _TAIL, b"\n"))


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode()


def _entry(line: bytes) -> Entry:
    """Raises `_DamagedError` for what is no line of ours, `UsageError` for a newer one."""
    start = len(_HEAD) + 64
    if not (line.startswith(_HEAD) and line[start:].startswith(_MIDDLE) and line.endswith(_TAIL)):
        raise _DamagedError("not a whole entry")
    payload = line[start + len(_MIDDLE) : -len(_TAIL)]
    if line[len(_HEAD) : start] != _checksum(payload):
        raise _DamagedError("its checksum is wrong")
    data = json.loads(payload)  # which is as it was written
    if data["schema_version"] > SCHEMA_VERSION:
        raise UsageError("written by a newer energybench; upgrade to read it")
    return Entry(data["key"], from_json(data["record"]), data["benchmark"], data["written_at"])


def _without_record(benchmark: dict[str, Any] | None) -> dict[str, Any] | None:
    """pytest-benchmark's entry without what the line has already."""
    if benchmark is None:
        return None
    extra = {key: value for key, value in benchmark["extra_info"].items() if key != "energybench"}
    return benchmark | {"extra_info": extra}


def _append(path: Path, line: bytes) -> None:
    """Add `line`, after the end of a torn one; on failure leave the file as it was."""
    new = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        try:
            _write_all(handle, b"\n" + line if torn else line)
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
    if new:
        _sync_folder(path.parent)


def _write_all(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def _sync_folder(folder: Path) -> None:
    """So that the file's name, too, survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Keeper:
    """One session and its journal: what it adds, and what it need not run again."""

    def __init__(self, journal: Journal, resume: bool) -> None:
        """With `resume`, read the journal now; raises `UsageError` where it cannot be read."""
        self.path = journal.path
        self._journal = journal
        contents = journal.read() if resume else Contents((), ())
        self._earlier = contents.latest
        self._damaged = contents.damaged
        self._waiting: list[Entry] = []
        self._error: str | None = None
        self._complaints: list[str] = []

    def complain(self, line: str) -> None:
        """Add to the `complaints`, once."""
        if line not in self._complaints:
            self._complaints.append(line)

    def earlier(self, key: str) -> Entry | None:
        """What the journal has under `key`; an interrupted cell is to run again."""
        entry = self._earlier.get(key)
        return None if entry is None or entry.record.status == "interrupted" else entry

    def finished(self, key: str) -> RunRecord | None:
        """The record of `earlier`, of a cell that went well."""
        entry = self.earlier(key)
        return None if entry is None or entry.record.status != "ok" else entry.record

    def keep(self, key: str, record: RunRecord, benchmark: dict[str, Any] | None = None) -> None:
        """Append a cell. What cannot be written now waits, and is tried again with the next."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._waiting.append(Entry(key, record, _without_record(benchmark), now))
        self._error = None
        try:
            while self._waiting:
                self._journal.append(self._waiting[0])
                del self._waiting[0]
        except UsageError as error:
            self._error = str(error)

    def complaints(self) -> list[str]:
        """Lines on what is not kept, or not readable where it is."""
        lines = [f"{self.path}, {phrase}; that cell ran again" for phrase in self._damaged]
        lines += self._complaints
        if self._waiting:
            lines.append(f"{len(self._waiting)} cells are not in the journal: {self._error}")
        return lines
