"""Finished cells, kept the moment they end: an append-only file with one line per cell.

Lines are checksummed (`entry`): damage to a line, as by a power cut, costs that line only.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from energybench.errors import UsageError
from energybench.records.entry import SCHEMA_VERSION, DamagedLineError, Entry, from_line, to_line
from energybench.records.record import RunRecord

__all__ = ["Contents", "Entry", "Journal", "Keeper"]

_LOCK_S = 60.0
"""Seconds to wait for another run that writes its line."""


@dataclass(frozen=True)
class Contents:
    """The readable contents of a journal."""

    entries: tuple[Entry, ...]
    damaged: tuple[str, ...]
    """A phrase per line that cannot be read: "line 3: its checksum is wrong"."""

    @property
    def latest(self) -> dict[str, Entry]:
        """Key -> the last entry with that key, in the order of the first ones."""
        return {entry.key: entry for entry in self.entries}

    @property
    def outdated(self) -> int:
        """Cells that only lines of older schemas have: no key of today finds them."""
        now: set[tuple[str, str, int]] = set()
        before: set[tuple[str, str, int]] = set()
        for entry in self.entries:
            record = entry.record
            found = now if entry.schema_version == SCHEMA_VERSION else before
            found.add((record.model, record.method, record.seed))
        return len(before - now)


class Journal:
    """The journal at `path`; several runs may append to one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: Entry) -> None:
        """Write `entry` and wait until it is on the disk.

        Raises `UsageError` where that fails; the file is then as before.
        """
        line = to_line(entry)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                _append(self.path, line)
        except OSError as error:
            raise UsageError(
                f"cannot write the journal {self.path} ({error.strerror or error}); free some "
                "space there, or name another journal file"
            ) from error

    def read(self) -> Contents:
        """The contents of the journal; a missing file counts as empty.

        Raises `UsageError` where the file cannot be read, or a newer energybench wrote a line.
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
                entries.append(from_line(line))
            except DamagedLineError as error:
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


def _without_record(benchmark: dict[str, Any] | None) -> dict[str, Any] | None:
    """pytest-benchmark's entry without the record, which the line has beside it."""
    if benchmark is None:
        return None
    extra = {key: value for key, value in benchmark["extra_info"].items() if key != "energybench"}
    return benchmark | {"extra_info": extra}


def _append(path: Path, line: bytes) -> None:
    """Add `line`, on a new line where the last one is torn; on failure leave the file unchanged."""
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
    """Make the names of files in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Keeper:
    """One session and its journal: adds ended cells, and finds those that need not run again."""

    def __init__(self, journal: Journal, resume: bool) -> None:
        """With `resume`, read the journal now; raises `UsageError` where it cannot be read."""
        self.path = journal.path
        self._journal = journal
        contents = journal.read() if resume else Contents((), ())
        self._earlier = contents.latest
        self._damaged = contents.damaged
        self._outdated = contents.outdated
        self._waiting: list[Entry] = []
        self._error: str | None = None
        self._complaints: list[str] = []

    def complain(self, line: str) -> None:
        """Add to the `complaints`, once."""
        if line not in self._complaints:
            self._complaints.append(line)

    def earlier(self, key: str) -> Entry | None:
        """The journal's entry with `key`; None for an interrupted cell, which runs again."""
        entry = self._earlier.get(key)
        return None if entry is None or entry.record.status == "interrupted" else entry

    def finished(self, key: str) -> RunRecord | None:
        """The record of `earlier` if the cell ended well."""
        entry = self.earlier(key)
        return None if entry is None or entry.record.status != "ok" else entry.record

    def keep(self, key: str, record: RunRecord, benchmark: dict[str, Any] | None = None) -> None:
        """Append a cell; one that cannot be written now is tried again with the next one."""
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
        """Lines on cells that are not kept, not readable, or not resumed."""
        lines = [f"{self.path}, {phrase}; that cell ran again" for phrase in self._damaged]
        if self._outdated:
            lines.append(
                f"{self.path}: not resumed are {self._outdated} cells of an older energybench, "
                "whose keys no longer match; they run again"
            )
        lines += self._complaints
        if self._waiting:
            cells = len({entry.key for entry in self._waiting})
            lines.append(f"{cells} cells are not in the journal: {self._error}")
        return lines
