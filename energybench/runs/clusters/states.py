"""What the journals of a run say about each of its tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from energybench.config import Cell
from energybench.records.event import ENDED, REFUSED, STARTED, Event, Origin
from energybench.records.journal import Contents, Entry, Journal
from energybench.runs.clusters.plan import ArrayTask, RunFolder


@dataclass(frozen=True)
class Standing:
    """One task, as far as its journal tells."""

    task: ArrayTask
    contents: Contents

    @property
    def has_ended(self) -> bool:
        """Whether every cell has its result."""
        return any(event.what == ENDED for event in self.contents.events)

    @property
    def refused(self) -> Event | None:
        """Why the block could not run when it was last tried; None where it could."""
        last = self.contents.events[-1] if self.contents.events else None
        return last if last is not None and last.what == REFUSED else None

    @property
    def results(self) -> list[Entry]:
        """The results that count of the block's cells, each as often as it was asked for."""
        wanted = set(self.task.block.cells)
        return [
            entry
            for entry in self.contents.counted.values()
            if entry.record.status != "interrupted" and _cell(entry) in wanted
        ]

    @property
    def started(self) -> Event | None:
        """The last cell that has started; None where none has."""
        found = [event for event in self.contents.events if event.what == STARTED]
        return found[-1] if found else None

    @property
    def origin(self) -> Origin | None:
        """Where its last line was written."""
        lines: list[Entry | Event] = [*self.contents.entries, *self.contents.events]
        last = max(lines, key=lambda line: line.written_at, default=None)
        return None if last is None else last.origin

    def left_s(self, now: datetime | None = None) -> float | None:
        """Seconds until the block ends if its cells go on as before; None before the first ended.

        Time counts from the first start of a cell in the current job.
        """
        at = self.origin
        starts = [one for one in self.contents.events if one.what == STARTED and one.origin == at]
        ended = [entry for entry in self.results if entry.origin == at]
        if not starts or not ended:
            return None
        passed = ((now or datetime.now(UTC)) - _time(starts[0].written_at)).total_seconds()
        left = len(self.task.block.methods) - len(self.results)
        return max(0.0, passed * left / len(ended))


def _cell(entry: Entry) -> Cell:
    record = entry.record
    return Cell(record.model, record.method, record.seed)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Watch:
    """The journals of tasks, read again only as far as they have grown."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._known: dict[int, Contents] = {}

    def look(self, task: ArrayTask) -> Standing:
        """Read what is new of one task; raises `UsageError` where its journal cannot be read."""
        journal = Journal(self._folder.journal(task))
        self._known[task.number] = journal.read(self._known.get(task.number))
        return Standing(task, self._known[task.number])


def unfinished(folder: RunFolder, tasks: list[ArrayTask]) -> dict[int, Standing]:
    """The tasks that have cells without a result, by number."""
    watch = Watch(folder)
    found: Mapping[int, Standing] = {task.number: watch.look(task) for task in tasks}
    return {number: standing for number, standing in found.items() if not standing.has_ended}
