"""The executor that trains in this process: a single process, or one rank of a launcher."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import TypeVar

from energybench.energy.readings import IDLE, Preparation
from energybench.errors import CellError, EnergybenchError, UsageError
from energybench.records.record import Dataset
from energybench.runs.batch_size import largest_batch
from energybench.runs.cell import run_job
from energybench.runs.executors.base import Setup
from energybench.runs.facts import Facts, Prepared
from energybench.runs.forecasts.cost import Costed, Effort
from energybench.runs.forecasts.measuring import measure_cost
from energybench.runs.jobs import Job, Outcome
from energybench.runs.session import Session
from energybench.runs.startup import open_rank, open_session
from energybench.workloads.base import CountsItems

T = TypeVar("T")


class InProcess:
    """Runs jobs in this process, one after the other; `submit` returns when the job has ended."""

    def __init__(self, session: Session) -> None:
        """Take over `session`."""
        self.session = session
        self.facts: Facts = session.facts()
        self._idle_is_known = bool(session.idle_watts)
        self._prepared: dict[str, Prepared] = {}

    def prepare(self, models: Sequence[str]) -> list[Prepared]:
        """Measure idle power once, then prepare the models that are new; see `Executor.prepare`.

        Where no meter reads, a line says so before any work.
        """
        if not self._idle_is_known:
            if not self.session.sources:
                why = self.session.meters.why_unavailable
                self.session.say(f"no meter reads any energy: {why}")
            self.session = self.session.with_idle_watts()
            self._idle_is_known = True
            refused = self.session.meters.unavailable.get(IDLE)
            if refused is not None:
                self.session.say(f"no idle power, so no kwh_net: {refused}")
        new = [model for model in dict.fromkeys(models) if model not in self._prepared]
        if new:
            self.session, work = self.session.prepare(new)
            for number, model in enumerate(new):
                self._prepared[model] = self._prepare(model, work if number == 0 else [])
        return [self._prepared[model] for model in models]

    def submit(self, job: Job) -> "Future[Outcome]":
        """Run `job` now."""
        future: Future[Outcome] = Future()
        (prepared,) = self.prepare([job.cell.model])
        future.set_result(run_job(job, self.session, self.facts, prepared))
        return future

    def cost(self, job: Job, effort: Effort) -> Costed:
        """Measure a few steps of `job` now, see `Costing.cost`."""
        self.prepare([job.cell.model])
        return measure_cost(job, self.session, effort)

    def agree(self, value: T) -> T:
        """Return rank 0's value on every rank."""
        return self.session.group.broadcast(value)

    def exclusive_use(self, wait: bool, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold this machine's measured devices, see `lock.exclusive_use`."""
        return self.session.exclusive_use(wait, say)

    def close(self) -> None:
        """Close the session."""
        self.session.close()

    def _prepare(self, model: str, work: Sequence[Preparation]) -> Prepared:
        session = self.session
        task = session.task(model)
        sized = task if isinstance(task, CountsItems) else session.data
        dataset = Dataset(
            name=session.data.name,
            fingerprint=session.data.fingerprint,
            task=task.name,
            item=task.item,
            splits=dict(sized.split_sizes),
            details=dict(task.facts()),
        )
        batch, error = None, None
        if session.config.largest_batch:
            try:
                batch = largest_batch(session, model)
            except CellError as raised:
                error = str(raised)
        return Prepared(model, dataset, self._weights_key(model), batch, tuple(work), error)

    def _weights_key(self, model: str) -> str:
        try:
            return self.session.weights(model).key
        except EnergybenchError as error:  # the cell that needs these weights fails with this error
            return f"not available: {error}"


def open_in_process(setup: Setup) -> InProcess:
    """Open this process's devices; raises `UsageError`, also for weights that do not load."""
    return _checked(open_session(setup.config, setup.progress, say=setup.say), setup)


def open_launched(setup: Setup) -> InProcess:
    """Join the ranks that torchrun or Slurm has started; every rank runs the same pytest session.

    Each rank leads itself, and all submit the same jobs in the same order.
    """
    if setup.world_size > 1:
        raise UsageError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} is set: ranks are started already; "
            "leave out world_size"
        )
    return _checked(open_rank(setup.config, setup.progress, setup.say), setup)


def _checked(session: Session, setup: Setup) -> InProcess:
    try:
        session.check_weights(setup.models)
    except BaseException:
        session.close()
        raise
    return InProcess(session)
