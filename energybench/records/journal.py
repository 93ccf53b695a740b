"""Finished cells, kept the moment they end: an append-only file with one line per cell.

Blocks of a cluster add lines on what happens besides, see `event`. Lines are checksummed (`entry`):
damage to a line, as by a power cut, costs that line only.
"""

import codecs
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from energybench.errors import UsageError, printable
from energybench.records.encoding import decoded
from energybench.records.entry import (
    HEAD,
    SCHEMA_VERSION,
    DamagedLineError,
    Entry,
    from_line,
    to_line,
)
from energybench.records.event import Event

__all__ = ["Contents", "Entry", "Event", "Journal"]

_LOCK_S = 60.0
"""Seconds to wait for another run that writes its line."""


@dataclass(frozen=True)
class _Place:
    """Where in the file reading goes on."""

    inode: int
    offset: int
    """Bytes that are read for good."""
    lines: int
    """Line ends among them."""
    damaged: tuple[str, ...]
    """Phrases on lines among them."""


@dataclass(frozen=True)
class Contents:
    """The readable contents of a journal."""

    entries: tuple[Entry, ...]
    damaged: tuple[str, ...]
    """A phrase per line that cannot be read: "line 3: its checksum is wrong"."""
    events: tuple[Event, ...] = ()
    """What a cluster's blocks wrote beside their cells."""
    _place: _Place | None = field(default=None, compare=False, repr=False)

    @cached_property
    def counted(self) -> dict[str, Entry]:
        """Key -> the entry that counts, in the order of the first ones.

        The first cell that ended well counts. It is there once more where it was compared with its
        baseline later; that entry is the one. Where none ended well, the last entry counts.
        """
        found: dict[str, Entry] = {}
        for entry in self.entries:
            held = found.get(entry.key)
            if held is None or held.record.status != "ok" or held.record.id == entry.record.id:
                found[entry.key] = entry
        return found

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

    def append(self, entry: Entry | Event) -> None:
        """Write `entry` and wait until it is on the disk.

        Raises `UsageError` where that fails; the file is then as before.
        """
        line = to_line(entry)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                _append(self.path, line)
        except OSError as error:
            raise UsageError(self._cannot_write(error)) from error

    def check(self) -> None:
        """Raise `UsageError` unless cells can be appended; makes the folder, and no file."""
        path = Path(os.path.realpath(self.path))
        try:
            made = [one for one in (path, Path(_lock_of(self.path))) if not one.exists()]
            if path not in made:
                self._check_file(path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for one in made:
                with tempfile.TemporaryFile(dir=one.parent):
                    pass
        except OSError as error:
            raise UsageError(self._cannot_write(error)) from error

    def _check_file(self, path: Path) -> None:
        """Raise `UsageError` or `OSError` unless the file is a journal, or empty."""
        if path.is_dir():
            raise UsageError(f"the journal {self.path} is a folder; name a file in it")
        if not path.is_file():
            raise UsageError(f"the journal {self.path} is not a plain file; name another one")
        handle = os.open(path, os.O_RDWR | os.O_APPEND)
        try:
            head = os.read(handle, len(HEAD))
        finally:
            os.close(handle)
        if HEAD.startswith(head):
            return
        contents = self.read()
        if not contents.entries and not contents.events:
            raise UsageError(f"{self.path} is another file than a journal; name another one")
        if contents._place is None and not head.startswith(codecs.BOM_UTF8):
            raise UsageError(
                f"the journal {self.path} went through another program, which packed or recoded "
                "it; bring it back to UTF-8, or name another journal"
            )

    def _cannot_write(self, error: OSError) -> str:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space there" if full else "name another journal"
        return f"cannot write the journal {self.path} ({error.strerror or error}); {advice}"

    def read(self, known: Contents | None = None) -> Contents:
        """The contents of the journal; a missing file counts as empty.

        What was read before, `known`, is not read again. Raises `UsageError` where the file cannot
        be read, or a newer energybench wrote a line.
        """
        try:
            with self.path.open("rb") as file:
                facts = os.fstat(file.fileno())
                known, place = _continued(known, facts)
                if place.offset:
                    file.seek(place.offset)
                data = file.read()
        except FileNotFoundError:
            return Contents((), ())
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from error
        recoded = False
        if place.offset == 0:
            raw, data = data, decoded(data, self.path)
            recoded = data is not raw
        lines: list[Entry | Event] = [*known.entries, *known.events]
        damaged = list(place.damaged)
        *whole, last = data.split(b"\n")
        for number, line in enumerate(whole, start=place.lines + 1):
            self._read_line(number, line, lines, damaged)
        read, before = len(data) - len(last), tuple(damaged)
        if self._read_line(place.lines + len(whole) + 1, last, lines, damaged):
            read, before = len(data), tuple(damaged)  # it lacks its end only
        found = _Place(facts.st_ino, place.offset + read, place.lines + len(whole), before)
        return Contents(
            tuple(line for line in lines if isinstance(line, Entry)),
            tuple(damaged),
            tuple(line for line in lines if isinstance(line, Event)),
            None if recoded else found,
        )

    def _read_line(
        self, number: int, line: bytes, lines: list[Entry | Event], damaged: list[str]
    ) -> bool:
        """Add a line to one of the lists; whether it can be read."""
        line = line.removesuffix(b"\r")
        if not line:
            return False
        try:
            lines.append(from_line(line))
        except DamagedLineError as error:
            damaged.append(printable(f"line {number}: {error}"))
            return False
        except UsageError as error:
            raise UsageError(f"{self.path}, line {number}: {error}") from error
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            with FileLock(_lock_of(self.path), timeout=_LOCK_S):
                yield
        except Timeout as error:
            raise OSError(
                f"another process has held {error.lock_file} for {_LOCK_S:.0f} s"
            ) from None


def _lock_of(path: Path) -> str:
    return f"{path}.lock"


def _continued(known: Contents | None, facts: os.stat_result) -> tuple[Contents, _Place]:
    """What is known of the file of `facts`, and where to go on; nothing of another file."""
    if known is None or known._place is None or facts.st_ino != known._place.inode:
        return Contents((), ()), _Place(facts.st_ino, 0, 0, ())
    if facts.st_size < known._place.offset:
        return Contents((), ()), _Place(facts.st_ino, 0, 0, ())
    return known, known._place


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
