"""Fine-tunes one cell at one batch size, arithmetic and power limit."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from energybench.config import Cell, RunConfig
from energybench.energy.power_limit import power_limit, read_limits
from energybench.errors import CellError, UsageError
from energybench.records.studies import OperatingPoint
from energybench.runs.executors.in_process import InProcess
from energybench.runs.jobs import Job
from energybench.runs.session import Session
from energybench.training.device import gpu_uuid
from energybench.training.precision import check_precision, native

OWN = "own"
"""The power limit that a GPU has."""


@dataclass(frozen=True)
class Point:
    """What is varied."""

    batch_size: int
    precision: str
    limit: str = OWN
    """The power limit: "own", "250W", or "80%" of the default."""

    def __str__(self) -> str:
        return f"batch{self.batch_size}-{self.precision}-{self.limit}"


def why_not(point: Point, session: Session) -> str | None:
    """Say why the study leaves out a point on this device; None if it does not.

    An arithmetic that the device only imitates is no choice, and a CPU has one power limit.
    """
    reason = native(point.precision, session.device)
    if reason is not None:
        return reason
    if point.limit != OWN and session.device.type != "cuda":
        return "the power limit is that of a GPU"
    if point.limit != OWN and not session.config.allow_power_limit:
        return "other power limits need --energy-allow-power-limit"
    return None


def operating_point(cell: Cell, session: Session, point: Point) -> OperatingPoint:
    """Fine-tune `cell` under the protocol at `point`, and test it.

    The learning rate stays that of the protocol at every batch size. A GPU's own power limit is
    restored, see `energy.power_limit`. Raises `UsageError` for several ranks, an arithmetic that
    the device lacks and a power limit that it does not take, and `CellError` where the cell fails.
    """
    if session.placement is not None:
        raise UsageError("operating points are measured in one process; leave out other ranks")
    check_precision(point.precision, session.device)
    session = replace(session, config=_config(session.config, point))
    limited, watts = _limited(session, point.limit)
    with limited:
        executor = InProcess(session)
        executor.prepare([cell.model])
        outcome = executor.submit(Job(cell, executor.session.config, "")).result()
    if outcome.interruption is not None:
        raise outcome.interruption
    record = outcome.record
    if record.status != "ok" or record.test is None:
        raise CellError(f"{cell} at {point} failed: {record.error}")
    trained = record.phases["finetune"]
    return OperatingPoint(
        model=cell.model,
        method=cell.method,
        seed=cell.seed,
        batch_size=point.batch_size,
        precision=record.precision or point.precision,
        power_limit_w=watts,
        device_name=executor.facts.device_name,
        epochs=len(record.epochs),
        seconds=trained.duration_s,
        joules=trained.it_joules,
        metric=record.test.metric,
        value=record.test.value,
        sources=dict(trained.sources),
        flags=list(record.flags),
    )


def _config(config: RunConfig, point: Point) -> RunConfig:
    """Return the configuration of one point; idle power was measured before the first."""
    return replace(
        config,
        precision=point.precision,
        largest_batch=False,
        finetune=replace(config.finetune, batch_size=point.batch_size),
        measure=replace(config.measure, idle_s=0.0),
    )


def _limited(session: Session, limit: str) -> tuple[AbstractContextManager[None], float | None]:
    """Return the context of a power limit and its watts; None for the device's own."""
    if limit == OWN:
        return nullcontext(), None
    uuid = gpu_uuid(session.device)
    if uuid is None:
        raise UsageError(f"a power limit of {limit} is for a GPU, and this session is on a CPU")
    if not session.config.allow_power_limit:
        raise UsageError(f"a power limit of {limit} needs --energy-allow-power-limit")
    watts = read_limits(uuid).of(limit)
    assert watts is not None
    say: Callable[[str], None] = session.say
    return power_limit(uuid, watts, say), watts
