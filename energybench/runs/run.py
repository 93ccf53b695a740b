"""One run of a matrix: plan jobs, look into journal and cache, and keep every outcome."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from energybench.compression.base import required_precision
from energybench.compression.compose import build
from energybench.config import Cell, RunConfig
from energybench.energy.readings import Preparation
from energybench.records.event import STARTED
from energybench.records.forecast import Forecast
from energybench.records.keeper import Keeper
from energybench.records.record import RunRecord
from energybench.runs.attempts import Attempts
from energybench.runs.executors.base import Agreeing, Executor
from energybench.runs.facts import Prepared, baseline_file, cell_config, cell_key
from energybench.runs.jobs import Job, Outcome, Reference
from energybench.runs.matrix import needs
from energybench.runs.measured import Context, Measured, compared, record_of
from energybench.runs.references import References, write_baseline
from energybench.runs.result import Result


def _unchanged(value: Any) -> Any:
    return value


class Run:
    """Runner of cells on one executor, each at most once, in the order in which it is asked.

    A cell may run before its baseline; its record is compared as soon as the baseline has ended.
    `keeper` has the journal. With `resume` a cell in the journal is not run again. With
    `checkpoints` every cell is saved in that folder after each epoch. With `any_of_kind` a result
    of another machine of the same kind is as good as one of this machine.
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
        any_of_kind: bool = False,
        forecasts: Mapping[str, Forecast] | None = None,
    ) -> None:
        """Take the run's parts; `writes` is False on launched ranks other than the first.

        `say` is called with a line on every wait for a quiet machine and every further attempt.
        `forecasts` are by the keys of their cells, whose records keep them.
        """
        self.config = config
        self.executor = executor
        self.keeper = keeper
        self._facts = executor.facts.of_kind() if any_of_kind else executor.facts
        self._unclaimed: dict[str, Result] = {}
        self._forecasts = forecasts or {}
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
    def unclaimed(self) -> list[RunRecord]:
        """Records that no caller has got: baselines on demand, cells that wait for theirs."""
        return [result.record for result in self._unclaimed.values()]

    @property
    def cached_baselines(self) -> dict[tuple[str, int], RunRecord]:
        """Baselines of the cache that served as references, by (model, seed)."""
        return self.references.cached

    @property
    def preparations(self) -> list[Preparation]:
        """Work done ahead of all cells, with its energy."""
        return [work for prepared in self._prepared.values() for work in prepared.work]

    @property
    def batch_sizes(self) -> dict[str, int]:
        """Model -> largest batch that fits, for models with automatic batch size."""
        sizes = {model: prepared.batch_size for model, prepared in self._prepared.items()}
        return {model: size for model, size in sizes.items() if size is not None}

    def prepare(self, models: Sequence[str]) -> list[Prepared]:
        """Prepare `models`, see `Executor.prepare`."""
        found = self.executor.prepare(models)
        self._prepared.update({prepared.model: prepared for prepared in found})
        return found

    def forecast(self, cell: Cell) -> Forecast | None:
        """Return what was expected of `cell` with the run's own options; None where nothing was."""
        prepared, config = self._configured(cell.model, None, None)
        return self._forecasts.get(cell_key(cell, config, self._facts, prepared))

    def why_not(self, cell: Cell) -> str | None:
        """Say why this run's device cannot run `cell`; None if it can."""
        required = required_precision(build(cell.method))
        return None if required is None else self.executor.facts.lacking.get(required)

    def result(
        self,
        cell: Cell,
        tolerance: float | None = None,
        budget: str | None = None,
        baseline_follows: bool = False,
    ) -> Result:
        """Return the result of `cell`: from the journal if this run resumes, else by running it.

        `tolerance`, in the metric's unit, and `budget` override the configuration for this cell.
        With `baseline_follows` the caller asks for the baseline of `cell` later. The result then
        `waits`: it is journaled, and complete when the caller asks for it again. The budget
        `equal` needs the baseline first. A failed baseline fails the cell. The caller passes a
        result that does not wait to `keep`. Raises `UsageError` for a value that the options would
        refuse, too.
        """
        prepared, config = self._configured(cell.model, tolerance, budget)
        key = cell_key(cell, config, self._facts, prepared)
        done = self._unclaimed.pop(key, None) or self._resumed(cell, key)
        needed = needs(cell)
        if done is not None and (needed is None or not done.lacks_reference):
            return done
        if done is None and prepared.error is not None:
            return Result(key, self._unmeasured(cell, config, prepared, prepared.error))
        reference = None
        if needed is not None:
            reference = self._found(needed, config, prepared, cached=not baseline_follows)
            if reference is None and baseline_follows and config.finetune.budget != "equal":
                return self._waiting(done or self._ran(cell, config, key, None))
            reference = reference or self._on_demand(needed, config, prepared, done)
        error = _no_reference(needed, reference)
        if done is not None:
            return replace(done, outcome=_judged(done.outcome, reference, error))
        if error is not None:
            return Result(key, self._unmeasured(cell, config, prepared, error))
        return self._ran(cell, config, key, reference)

    def keep(self, result: Result, benchmark: dict[str, object] | None = None) -> None:
        """Journal a result unless the journal has it; `benchmark` is pytest-benchmark's entry."""
        if result.entry is None or result.record is not result.entry.record:
            self.keeper.keep(result.key, result.record, benchmark)

    def _configured(
        self, model: str, tolerance: float | None, budget: str | None
    ) -> tuple[Prepared, RunConfig]:
        if model not in self._prepared:
            self.prepare([model])
        prepared = self._prepared[model]
        return prepared, cell_config(self.config, prepared, tolerance, budget)

    def _resumed(self, cell: Cell, key: str) -> Result | None:
        """Return the journal's result of `cell` if this run resumes and the journal has one."""
        entry = self._agree(self.keeper.earlier(key)) if self._resume else None
        if entry is None:
            return None
        if cell == cell.reference:
            self.references.add(entry.record, "journal")
        return Result(key, Outcome(entry.record, entry.seconds), entry)

    def _waiting(self, result: Result) -> Result:
        """Set a finished cell aside until its baseline has ended, safe in the journal."""
        if not result.lacks_reference or result.outcome.interruption is not None:
            return result  # it failed on its own, there is nothing to compare
        self.keep(result)
        self._unclaimed[result.key] = result
        return replace(result, waits=True)

    def _found(
        self, baseline: Cell, config: RunConfig, prepared: Prepared, cached: bool
    ) -> Reference | None:
        """Find a baseline that has ended: in this run, in the journal, `cached` in the cache."""
        facts = self.executor.facts
        key = cell_key(baseline, config, self._facts, prepared)
        file = baseline_file(baseline, config, facts, prepared) if cached else None
        return self.references.find(baseline, key, file, facts.protocol(config))

    def _on_demand(
        self, baseline: Cell, config: RunConfig, prepared: Prepared, waits: Result | None
    ) -> Reference:
        """Run a baseline and keep it for whoever asks for it later.

        Where that is interrupted, the result that `waits` for it has no caller again.
        """
        key = cell_key(baseline, config, self._facts, prepared)
        result = self._ran(baseline, config, key, None)
        self.keep(result)
        self._unclaimed[key] = result
        if result.outcome.interruption is not None:
            if waits is not None:
                self._unclaimed[waits.key] = waits
            raise result.outcome.interruption
        return self.references.add(result.record, "journal" if result.entry else "this run")

    def _ran(self, cell: Cell, config: RunConfig, key: str, reference: Reference | None) -> Result:
        """Run a cell. Where another run on the same journal has ended it meanwhile, that counts."""
        outcome = self._submit(cell, config, key, reference)
        first = None if outcome.interruption is not None else self._resumed(cell, key)
        if first is None or first.record.status != "ok":
            return Result(key, outcome)
        self.keeper.keep(key, outcome.record)  # nothing that was measured is lost
        if reference is not None and first.lacks_reference:
            return replace(first, outcome=_judged(first.outcome, reference, None))
        return first

    def _submit(
        self, cell: Cell, config: RunConfig, key: str, reference: Reference | None
    ) -> Outcome:
        self.keeper.note(STARTED, cell)
        folder = None if self._checkpoints is None else str(self._checkpoints)
        forecast = self._forecasts.get(key)
        job = Job(cell, config, key, reference, folder, self._resume, forecast)
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


def _no_reference(needed: Cell | None, reference: Reference | None) -> str | None:
    """Say why a cell that needs the baseline `needed` cannot be compared; None if it can."""
    if reference is None or (reference.record.status == "ok" and reference.record.test):
        return None
    return f"no reference: {needed} failed: {reference.record.error}"


def _judged(outcome: Outcome, reference: Reference | None, error: str | None) -> Outcome:
    """Complete the outcome of a cell that waited for `reference`; fail it for `error`."""
    if error is not None:
        return replace(outcome, record=replace(outcome.record, status="failed", error=error))
    return replace(outcome, record=compared(outcome.record, reference))
