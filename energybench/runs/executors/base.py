"""The protocol of an executor: hardware that runs jobs, in this process or elsewhere.

Another package adds an executor by an entry point in the group `energybench.executors`: a callable
that takes a `Setup` and returns an `Executor`. `Options.executor` names it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from energybench.config import RunConfig
from energybench.progress import Progress
from energybench.runs.facts import Facts, Prepared
from energybench.runs.forecasts.cost import Costed, Effort
from energybench.runs.jobs import Job, Outcome

__all__ = [
    "Agreeing",
    "Costing",
    "Executor",
    "Facts",
    "Job",
    "Locking",
    "Outcome",
    "Prepared",
    "Setup",
]

T = TypeVar("T")


def _silent(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Setup:
    """Everything that an executor is opened with."""

    config: RunConfig
    models: tuple[str, ...] = ()
    """Models of the run; weights that the user named are checked at once."""
    world_size: int = 1
    """Ranks that run each job together."""
    progress: Progress = field(default_factory=lambda: Progress(None))
    terminal: str | None = None
    """Path of the terminal, for ranks that draw progress themselves."""
    say: Callable[[str], None] = _silent
    """Callback for one line about long work, before the work starts."""


class Executor(Protocol):
    """Runs jobs on one kind of machine; a run uses one executor and closes it at the end."""

    facts: Facts
    """Machine, device and meters: what identifies the hardware."""

    def prepare(self, models: Sequence[str]) -> list[Prepared]:
        """Make `models` ready: idle power, data, pretrained weights, the largest batch.

        Called before any job of these models, with the machine locked. Preparing a model again
        does no work. Raises `UsageError` for a model that cannot be prepared.
        """
        ...

    def submit(self, job: Job) -> "Future[Outcome]":
        """Run one job whose model is prepared.

        A failed cell has an outcome, too, with the reason in its record. The future raises
        `UsageError` only if the executor cannot run any job.
        """
        ...

    def close(self) -> None:
        """Release devices, meters and processes."""
        ...


@runtime_checkable
class Locking(Protocol):
    """Optional: an executor whose measured devices are on this machine."""

    def exclusive_use(self, wait: bool, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the devices for one run, see `energy.lock.exclusive_use`."""
        ...


@runtime_checkable
class Agreeing(Protocol):
    """Optional: an executor whose ranks each have their own leading process."""

    def agree(self, value: T) -> T:
        """Return rank 0's value on every rank; a collective call."""
        ...


@runtime_checkable
class Costing(Protocol):
    """Optional: an executor that can say what a job costs without running it to its end."""

    def cost(self, job: Job, effort: Effort) -> Costed:
        """Measure a few steps of a job whose model is prepared; a failure is in the answer."""
        ...
