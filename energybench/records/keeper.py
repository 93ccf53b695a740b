"""One session and its journal: what it need not run again, and what it adds."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from energybench.config import Cell
from energybench.errors import UsageError
from energybench.records.entry import Entry
from energybench.records.event import Event, Origin
from energybench.records.journal import Contents, Journal
from energybench.records.record import RunRecord


class Keeper:
    """One session and its journal: adds ended cells, and finds those that need not run again.

    Other sessions may add cells meanwhile, so each look into the journal reads what is new.
    """

    def __init__(self, journal: Journal, resume: bool, origin: Origin | None = None) -> None:
        """With `resume`, read the journal now; raises `UsageError` where it cannot be read.

        A block of a cluster names its `origin`, which every line then has, and notes events.
        """
        self.path = journal.path
        self._origin = origin
        self._journal = journal
        self._resume = resume
        self._contents = journal.read() if resume else Contents((), ())
        self._damaged = self._contents.damaged
        self._outdated = self._contents.outdated
        self._kept: dict[str, RunRecord] = {}
        self._waiting: list[Entry] = []
        self._error: str | None = None
        self._complaints: list[str] = []

    def complain(self, line: str) -> None:
        """Add to the `complaints`, once."""
        if line not in self._complaints:
            self._complaints.append(line)

    def earlier(self, key: str) -> Entry | None:
        """The journal's entry with `key`; None for an interrupted cell, which runs again."""
        entry = self._now().counted.get(key) if self._resume else None
        return None if entry is None or entry.record.status == "interrupted" else entry

    def finished(self, key: str) -> RunRecord | None:
        """The record of `earlier` if the cell ended well."""
        entry = self.earlier(key)
        return None if entry is None or entry.record.status != "ok" else entry.record

    def note(self, what: str, cell: Cell | None = None, reason: str | None = None) -> None:
        """Append an event of a block; an ordinary session has none.

        Raises `UsageError` where it cannot be written: no cell starts that could not be kept.
        """
        if self._origin is not None:
            self._journal.append(Event(what, _now(), self._origin, cell, reason))

    def keep(self, key: str, record: RunRecord, benchmark: dict[str, Any] | None = None) -> None:
        """Append a cell; one that cannot be written now is tried again with the next one."""
        self._kept[key] = record
        entry = Entry(key, record, _without_record(benchmark), _now(), origin=self._origin)
        self._waiting.append(entry)
        self._error = None
        try:
            while self._waiting:
                self._journal.append(self._waiting[0])
                del self._waiting[0]
        except UsageError as error:
            self._error = str(error)

    def rescue(self, path: Path) -> None:
        """Append the cells that the journal did not take to another one at `path`.

        Raises `UsageError` where that fails, too.
        """
        for entry in self._waiting:
            Journal(path).append(entry)

    @property
    def has_all(self) -> bool:
        """Whether every cell so far is in the journal."""
        return not self._waiting

    def complaints(self) -> list[str]:
        """Lines on cells that are not kept, not readable, not resumed, or do not count."""
        lines = [f"{self.path}, {phrase}; that cell ran again" for phrase in self._damaged]
        if self._outdated:
            lines.append(
                f"{self.path}: not resumed are {self._outdated} cells of an older energybench, "
                "whose keys no longer match; they run again"
            )
        second = self._second()
        if second and self._resume:
            lines.append(f"another session measured {second} of these cells first, and those count")
        elif second:
            lines.append(
                f"{self.path} had {second} of these cells already, and the first result of a cell "
                "counts there; resume to take the first ones, or name another journal"
            )
        lines += self._complaints
        if self._waiting:
            cells = len({entry.key for entry in self._waiting})
            lines.append(f"{cells} cells are not in the journal: {self._error}")
        return lines

    def _now(self) -> Contents:
        """The contents of the journal now; what was known before where it cannot be read."""
        with suppress(UsageError):
            self._contents = self._journal.read(self._contents)
        return self._contents

    def _second(self) -> int:
        """The number of cells that this session ended well after another one had done so."""
        counted = self._now().counted if self._kept else {}
        return sum(
            key in counted and record.status == "ok" and counted[key].record.id != record.id
            for key, record in self._kept.items()
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _without_record(benchmark: dict[str, Any] | None) -> dict[str, Any] | None:
    """pytest-benchmark's entry without the record, which the line has beside it."""
    if benchmark is None:
        return None
    extra = {key: value for key, value in benchmark["extra_info"].items() if key != "energybench"}
    return benchmark | {"extra_info": extra}
