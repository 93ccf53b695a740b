"""A run on a cluster as the tests of an attached session see it: results played back as they come.

It has the members of `runs.run.Run` that tests use, and measures nothing.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from energybench.config import Cell, RunConfig
from energybench.energy.readings import Preparation
from energybench.errors import CellError
from energybench.records.event import SKIPPED
from energybench.records.journal import Entry
from energybench.records.record import RunRecord
from energybench.runs.clusters.live import live_line
from energybench.runs.clusters.plan import ArrayTask, Plan, RunFolder
from energybench.runs.clusters.queue import Queued
from energybench.runs.clusters.slurm import queued
from energybench.runs.clusters.states import Standing, Watch
from energybench.runs.jobs import Outcome
from energybench.runs.matrix import needs
from energybench.runs.result import Result

LOOK_S = 1.0
"""Seconds between two looks at a journal."""
ASK_S = 10.0
"""Seconds between two questions to Slurm."""


class Attached:
    """The results of one kind of machine, out of the journals of its blocks."""

    def __init__(
        self,
        folder: RunFolder,
        plan: Plan,
        kind: str | None,
        config: RunConfig,
        show: Callable[[Sequence[str]], None] = lambda lines: None,
    ) -> None:
        """`show` is called at each look while a cell is waited for, with a line per running block.

        It is called with no line when the wait ends.
        Raises `UsageError` for an unknown kind.
        """
        self.config = config
        self.keeper = Played(folder.path)
        self._folder, self._plan = folder, plan
        tasks = plan.of_kind(kind)
        self._tasks = {(task.block.model, task.block.seed): task for task in tasks}
        self._watch = Watch(folder)
        self._show = show
        self._queue: dict[int, Queued] | None = {}
        self._asked_at = -ASK_S
        self.unclaimed: list[RunRecord] = []
        self.preparations: list[Preparation] = []
        self.batch_sizes: dict[str, int] = {}

    @property
    def cached_baselines(self) -> dict[tuple[str, int], RunRecord]:
        """None: what a block took from its machine's cache is in its journal's records."""
        return {}

    @property
    def cells(self) -> set[Cell]:
        """Every cell of the plan."""
        return {cell for task in self._tasks.values() for cell in task.block.cells}

    def why_not(self, cell: Cell) -> str | None:
        """Why the cell cannot run on its machine; waits until it has started or ended."""
        found = self._wait(cell, lambda standing: _skipped(standing, cell) or _of(standing, cell))
        return found if isinstance(found, str) else None

    def result(
        self,
        cell: Cell,
        tolerance: float | None = None,
        budget: str | None = None,
        baseline_follows: bool = False,
    ) -> Result:
        """Wait for the result of `cell`; raises `CellError` where no job will bring it.

        The arguments are those of `Run.result`.
        """
        tolerance = self.config.tolerance if tolerance is None else tolerance
        budget = self.config.finetune.budget if budget is None else budget

        def asked_for(standing: Standing) -> Entry | None:
            found = [
                entry
                for entry in _of(standing, cell)
                if entry.record.protocol.tolerance == tolerance
                and entry.record.protocol.budget == budget
            ]
            return found[0] if found else None

        entry = self._wait(cell, asked_for)
        assert isinstance(entry, Entry)
        return Result(entry.key, Outcome(entry.record, entry.seconds), entry)

    def keep(self, result: Result, benchmark: dict[str, object] | None = None) -> None:
        """Keep nothing: the block has."""

    def _wait(self, cell: Cell, wanted: Callable[[Standing], object]) -> object:
        """Look until `wanted` finds something; raises `CellError` once that cannot come."""
        task = self._tasks.get((cell.model, cell.seed))
        if task is None:
            raise CellError(f"the plan has no {cell}; attach with the arguments of the submission")
        try:
            return self._found(task, cell, wanted)
        finally:
            self._show(())

    def _found(self, task: ArrayTask, cell: Cell, wanted: Callable[[Standing], object]) -> object:
        while True:
            gone = self._has_gone(task)  # before the look: it may write its last line meanwhile
            standing = self._watch.look(task)
            for phrase in standing.contents.damaged:
                self.keeper.complain(f"{self._folder.journal(task)}, {phrase}")
            found = wanted(standing)
            if found:
                return found
            if standing.has_ended or gone:
                raise CellError(self._why_missing(cell, standing))
            self._show(self._lines())
            time.sleep(LOOK_S)

    def _has_gone(self, task: ArrayTask) -> bool:
        """Whether Slurm no longer has the task; False where Slurm cannot be asked."""
        if time.monotonic() - self._asked_at >= ASK_S:
            self._queue, self._asked_at = queued(self._plan), time.monotonic()
        return self._queue is not None and task.number not in self._queue

    def _lines(self) -> list[str]:
        """A line per block that says what it does: cell, epoch, watts, node, time to go."""
        lines = []
        for task in self._tasks.values():
            if self._queue is not None and task.number not in self._queue:
                continue
            line = live_line(self._folder.live(task))
            if line is not None:
                left = self._watch.look(task).left_s()
                lines.append(line if left is None else f"{line}, {left / 60:.0f} min to go")
        return lines

    def _why_missing(self, cell: Cell, standing: Standing) -> str:
        again = "the same `energybench submit` runs what is missing"
        refused = standing.refused
        if refused is not None:
            return f"{cell} is missing: {refused.origin} refused: {refused.reason}; {again}"
        where = f" on {standing.origin}" if standing.origin else ""
        return f"{cell} is missing: its block is not queued, and did not end{where}; {again}"


class Played:
    """What an attached session keeps: nothing; it tells what it cannot read."""

    has_all = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._complaints: dict[str, None] = {}

    def complain(self, line: str) -> None:
        """Add to the `complaints`, once."""
        self._complaints[line] = None

    def complaints(self) -> list[str]:
        """Lines on parts of the journals that cannot be read."""
        return list(self._complaints)

    def note(self, what: str, cell: Cell | None = None, reason: str | None = None) -> None:
        """Note nothing: the block has."""


def _of(standing: Standing, cell: Cell) -> list[Entry]:
    """The complete results of a cell, those that ended well first.

    Complete is one with its comparison, where one is due. There are several of one cell where its
    machines were not of one kind.
    """
    found = [
        entry
        for entry in standing.contents.counted.values()
        if (entry.record.model, entry.record.method, entry.record.seed)
        == (cell.model, cell.method, cell.seed)
        and entry.record.status != "interrupted"
        and not (_waits(entry.record, cell) and not standing.has_ended)
    ]
    return sorted(found, key=lambda entry: entry.record.status != "ok")


def _waits(record: RunRecord, cell: Cell) -> bool:
    """Whether the cell was tested, and its baseline has not ended yet."""
    return needs(cell) is not None and record.test is not None and record.reference_value is None


def _skipped(standing: Standing, cell: Cell) -> str | None:
    skips: Iterable[str | None] = (
        event.reason
        for event in standing.contents.events
        if event.what == SKIPPED and event.cell == cell
    )
    return next(iter(skips), None)
