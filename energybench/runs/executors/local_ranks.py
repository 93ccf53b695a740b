"""The executor that starts its own ranks on this machine and leads them.

The leading process trains nothing and opens no GPU.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from energybench.config import Cell, RunConfig
from energybench.energy.grid import grid_of
from energybench.energy.lock import exclusive_use
from energybench.errors import EnergybenchError, UsageError
from energybench.runs.executors import worker
from energybench.runs.executors.base import Setup
from energybench.runs.executors.processes import RankDied, Workers
from energybench.runs.facts import Facts, Prepared
from energybench.runs.forecasts.cost import Costed, Effort
from energybench.runs.jobs import Job, Outcome
from energybench.runs.measured import Context, Measured, record_of
from energybench.training.device import find_device
from energybench.training.failures import cuts_short, interrupted_by, one_line

log = logging.getLogger(__name__)


@dataclass
class _Ranks:
    """The living ranks, and the means to start new ones after a death."""

    config: RunConfig
    models: tuple[str, ...]
    size: int
    terminal: str | None
    say: Callable[[str], None]
    idle_watts: dict[str, float] = field(default_factory=dict)
    workers: Workers | None = None

    def start(self) -> Facts:
        """Start the ranks and return their facts."""
        self.workers = Workers("energybench.runs.executors.worker", self.size, self.say)
        opening = worker.Opening(self.config, self.models, self.terminal, self.idle_watts)
        found: Facts = self.workers.ask(opening)
        return found

    def ask(self, order: worker.Order) -> Any:
        """Give `order` to every rank and return rank 0's answer; replace ranks that have ended."""
        if self.workers is None or not self.workers.alive:
            self.start()
        assert self.workers is not None
        return self.workers.ask(order)

    def rescued(self) -> Any:
        """Return rank 0's last answer before the ranks ended, if there was one."""
        return None if self.workers is None else self.workers.rescued

    def close(self) -> None:
        """End the ranks."""
        if self.workers is not None and self.workers.alive:
            self.workers.close()


class LocalRanks:
    """Runs each job on `size` ranks of this machine. A rank that dies costs its job only."""

    def __init__(self, ranks: _Ranks, facts: Facts) -> None:
        self.facts = facts
        self._ranks = ranks
        self._carbon = grid_of(ranks.config.measure)
        self._prepared: dict[str, Prepared] = {}

    def prepare(self, models: Sequence[str]) -> list[Prepared]:
        """Let the ranks prepare the models that are new; see `Executor.prepare`."""
        new = [model for model in dict.fromkeys(models) if model not in self._prepared]
        if new:
            found, self._ranks.idle_watts = self._ranks.ask(partial(worker.prepare, new))
            for one in found:
                self._prepared[one.model] = one
        return [self._prepared[model] for model in models]

    def submit(self, job: Job) -> "Future[Outcome]":
        """Run `job` on the ranks and wait for it, asleep."""
        future: Future[Outcome] = Future()
        future.set_result(self._run(job))
        return future

    def cost(self, job: Job, effort: Effort) -> Costed:
        """Measure a few steps of `job` on the ranks, see `Costing.cost`."""
        try:
            found: Costed = self._ranks.ask(partial(worker.cost, job, effort))
        except RankDied as error:
            return Costed(None, one_line(error))
        return found

    def exclusive_use(self, wait: bool, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the measured devices in the leading process, see `lock.exclusive_use`."""
        return exclusive_use(self.facts.resources, wait, say)

    def close(self) -> None:
        """End the ranks."""
        self._ranks.close()

    def _run(self, job: Job) -> Outcome:
        try:
            outcome: Outcome = self._ranks.ask(partial(worker.run, job))
        except BaseException as error:
            if cuts_short(error):
                outcome = self._cut_short(job, "interrupted", interrupted_by(error))
                return replace(outcome, interruption=error)
            if not isinstance(error, EnergybenchError):
                log.exception("%s failed", job.cell)
            return self._cut_short(job, "failed", one_line(error))
        if outcome.broken:
            self._ranks.close()
        return replace(outcome, broken=False)  # the next job gets new ranks

    def _cut_short(self, job: Job, status: str, error: str) -> Outcome:
        """Make the outcome of a job whose ranks ended: rank 0's last answer, or an empty record."""
        found = self._ranks.rescued()
        if isinstance(found, Outcome) and _is_of(found, job.cell):
            record = replace(found.record, status=status, error=error)
            return replace(found, record=record, broken=False)
        (prepared,) = self.prepare([job.cell.model])
        idle, carbon = self._ranks.idle_watts, self._carbon
        dataset, forecast = prepared.dataset, job.forecast
        context = Context(job.cell, job.config, self.facts, dataset, idle, carbon, forecast)
        measured = Measured(status=status, error=error, precision=job.config.precision)
        return Outcome(record_of(context, measured, job.reference), None)


def _is_of(outcome: Outcome, cell: Cell) -> bool:
    record = outcome.record
    return Cell(record.model, record.method, record.seed) == cell


def open_local_ranks(setup: Setup) -> LocalRanks:
    """Start the ranks on this machine; raises `UsageError` for options that ranks do not know."""
    setup.config.check_ranks(setup.world_size)
    find_device(setup.config.device, 0, setup.world_size, use=False)
    ranks = _Ranks(setup.config, setup.models, setup.world_size, setup.terminal, setup.say)
    try:
        facts = ranks.start()
    except RankDied as error:
        raise UsageError(str(error)) from error
    return LocalRanks(ranks, facts)
