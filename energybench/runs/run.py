"""One run of a matrix: plan jobs, look into journal and cache, and keep every outcome."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from energybench.config import Cell, RunConfig
from energybench.energy.readings import Preparation
from energybench.records.journal import Entry, Keeper
from energybench.records.record import RunRecord
from energybench.runs.attempts import Attempts
from energybench.runs.executors.base import Agreeing, Executor
from energybench.runs.facts import Prepared, baseline_file, cell_key
from energybench.runs.jobs import Job, Outcome, Reference
from energybench.runs.matrix import needs
from energybench.runs.measured import Context, Measured, record_of
from energybench.runs.references import References, write_baseline


@dataclass(frozen=True)
class Result:
    """A cell of this run."""

    key: str
    outcome: Outcome
    entry: Entry | None = None
    """The entry of the journal, if the cell did not run again."""

    @property
    def record(self) -> RunRecord:
        """The cell's record."""
        return self.outcome.record


def _unchanged(value: Any) -> Any:
    return value


class Run:
    """Runner of cells on one executor, each at most once, every baseline before its methods.

    `keeper` has the journal. With `resume` a cell in the journal is not run again. With
    `checkpoints` every cell is saved in that folder after each epoch.
    """

    def __init__(
        self,
        config: RunConfig,
        executor: Executor,
        keeper: Keeper,
        resume: bool = False,
        checkpoints: Path | None = None,
        writes: bool = True,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Take the run's parts; `writes` is False on launched ranks other than the first.

        `say` is called with a line on every wait for a quiet machine and every further attempt.
        """
        self.config = config
        self.executor = executor
        self.keeper = keeper
        self.on_demand: list[RunRecord] = []
        """Baselines that ran only because a method needed its reference."""
        self._resume = resume
        self._checkpoints = checkpoints
        self._writes = writes
        self._prepared: dict[str, Prepared] = {}
        self._agree: Callable[[Any], Any] = _unchanged
        if isinstance(executor, Agreeing):
            self._agree = executor.agree
        self.references = References(keeper.finished, self._agree)
        self._attempts = Attempts(config.measure, say, self._agree, leads=writes)

    @property
    def preparations(self) -> list[Preparation]:
        """Work done ahead of all cells, with its energy."""
        return [work for prepared in self._prepared.values() for work in prepared.work]

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Model -> largest batch that fits, for models with automatic batch size."""
        sizes = {model: prepared.batch_size for model, prepared in self._prepared.items()}
        return {model: size for model, size in sizes.items() if size is not None}

    def prepare(self, models: Sequence[str]) -> None:
        """Prepare `models`, see `Executor.prepare`."""
        for prepared in self.executor.prepare(models):
            self._prepared[prepared.model] = prepared

    def result(
        self, cell: Cell, tolerance: float | None = None, budget: str | None = None
    ) -> Result:
        """Return the result of `cell`: from the journal if this run resumes, else by running it.

        `tolerance`, in the metric's unit, and `budget` override the configuration for this cell.
        A failed baseline fails the cell. The caller passes a new result to `keep`. Raises
        `UsageError` for a value that the options would refuse, too.
        """
        prepared, config = self._configured(cell.model, tolerance, budget)
        key = cell_key(cell, config, self.executor.facts, prepared)
        entry = self._agree(self.keeper.earlier(key)) if self._resume else None
        if entry is not None:
            if cell == cell.reference:
                self.references.add(entry.record, "journal")
            seconds = None if entry.benchmark is None else entry.benchmark["stats"]["total"]
            return Result(key, Outcome(entry.record, seconds), entry)
        if prepared.error is not None:
            return Result(key, self._unmeasured(cell, config, prepared, prepared.error))
        needed = needs(cell)
        reference = None if needed is None else self._reference(needed, config, prepared)
        if reference is not None and (reference.record.status != "ok" or not reference.record.test):
            error = f"no reference: {needed} failed: {reference.record.error}"
            return Result(key, self._unmeasured(cell, config, prepared, error))
        return Result(key, self._submit(cell, config, key, reference))

    def keep(self, result: Result, benchmark: dict[str, object] | None = None) -> None:
        """Journal a result that was run now; `benchmark` is pytest-benchmark's entry, if any."""
        if result.entry is None:
            self.keeper.keep(result.key, result.record, benchmark)

    def _configured(
        self, model: str, tolerance: float | None, budget: str | None
    ) -> tuple[Prepared, RunConfig]:
        if model not in self._prepared:
            self.prepare([model])
        prepared, config = self._prepared[model], self.config
        finetune = config.finetune
        if budget is not None:
            finetune = replace(finetune, budget=budget)
        if config.largest_batch and prepared.batch_size is not None:
            finetune = replace(finetune, batch_size=prepared.batch_size)
        config = replace(config, finetune=finetune, largest_batch=False)
        return prepared, config if tolerance is None else replace(config, tolerance=tolerance)

    def _reference(self, baseline: Cell, config: RunConfig, prepared: Prepared) -> Reference:
        """Find the baseline, or run and keep it."""
        facts = self.executor.facts
        key = cell_key(baseline, config, facts, prepared)
        file = baseline_file(baseline, config, facts, prepared)
        found = self.references.find(baseline, key, file, facts.protocol(config))
        if found is not None:
            return found
        outcome = self._submit(baseline, config, key, None)
        self.on_demand.append(outcome.record)
        self.keeper.keep(key, outcome.record)
        if outcome.interruption is not None:
            raise outcome.interruption
        return self.references.add(outcome.record)

    def _submit(
        self, cell: Cell, config: RunConfig, key: str, reference: Reference | None
    ) -> Outcome:
        folder = None if self._checkpoints is None else str(self._checkpoints)
        job = Job(cell, config, key, reference, folder, self._resume)
        outcome = self._attempts.run(lambda: self.executor.submit(job).result())
        for line in outcome.complaints:
            self.keeper.complain(line)
        if cell == cell.reference and outcome.interruption is None:
            self.references.add(outcome.record)
            if outcome.record.status == "ok" and self._writes:
                facts, prepared = self.executor.facts, self._prepared[cell.model]
                write_baseline(baseline_file(cell, config, facts, prepared), outcome.record)
        return outcome

    def _unmeasured(self, cell: Cell, config: RunConfig, prepared: Prepared, error: str) -> Outcome:
        """Fail a cell without running any of it."""
        context = Context(cell, config, self.executor.facts, prepared.dataset)
        measured = Measured(status="failed", error=error, precision=config.precision)
        return Outcome(record_of(context, measured, None), None)
