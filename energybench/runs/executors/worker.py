"""One rank of a run that another process leads: opens its part, and does what it is told."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from energybench.config import PRECISIONS, Cell, RunConfig
from energybench.energy.readings import Preparation
from energybench.errors import EnergybenchError
from energybench.progress import Progress
from energybench.records.record import Placement, RunRecord
from energybench.runs.bench import Bench
from energybench.runs.cell import run_cell
from energybench.runs.opening import open_ranks
from energybench.training.failures import one_line
from energybench.training.precision import check_precision

Order = Callable[[Bench], Any]
"""What a rank is to do; the functions below, with their other arguments, are such orders."""


@dataclass(frozen=True)
class Opening:
    """The first thing that a rank is told."""

    config: RunConfig
    terminal: str | None
    """The terminal on which rank 0 draws its progress."""
    idle_watts: Mapping[str, float]
    """Domain -> what was measured before, if these ranks stand in for dead ones."""


@dataclass(frozen=True)
class Facts:
    """What only a rank knows of its run, for the process that leads."""

    device: str
    """`cpu` or `cuda`."""
    protocol: dict[str, Any]
    lacking: dict[str, str]
    """Arithmetic -> why the device cannot be asked for it."""
    sources: dict[str, str]
    unavailable: dict[str, str]
    resources: list[str]
    layout: Placement | None


@dataclass(frozen=True)
class Ended:
    """A cell that has ended."""

    record: RunRecord
    seconds: float | None
    """Of its fine-tuning; None if it did not come to that."""
    broken: bool
    """Whether the ranks can do nothing more together."""


def facts(bench: Bench) -> Facts:
    """What the leading process must know."""
    lacking = {}
    for precision in PRECISIONS:
        try:
            check_precision(precision, bench.device)
        except EnergybenchError as error:
            lacking[precision] = str(error)
    return Facts(
        bench.device.type,
        bench.protocol(),
        lacking,
        bench.sources,
        bench.meters.unavailable,
        bench.resources(),
        bench.layout,
    )


def measure_idle(bench: Bench) -> dict[str, float]:
    """See `Bench.measure_idle`; the watts of each domain."""
    bench.measure_idle()
    return bench.idle_watts


def prepare(models: Sequence[str], bench: Bench) -> list[Preparation]:
    """See `Bench.prepare`; what it took."""
    bench.prepare(models, bench.progress.say)
    done, bench.preparations = bench.preparations, []
    return done


def run(
    cell: Cell, config: RunConfig, reference: tuple[RunRecord, str] | None, bench: Bench
) -> Ended:
    """Run one cell as `config` has it, against that reference."""
    ended: list[RunRecord] = []
    seconds: list[float] = []
    place = cell.model, cell.seed
    known = {} if reference is None else {place: reference[0]}
    cached = reference is not None and reference[1] == "cache"
    own = replace(
        bench,
        config=config,
        baselines={} if cached else known,
        cached=known if cached else {},
        finished=lambda key, record: ended.append(record),
    )
    try:
        run_cell(cell, own, lambda timed: seconds.append(timed()))
    except KeyboardInterrupt:
        bench.group.broken = True
    return Ended(ended[-1], seconds[-1] if seconds else None, bench.group.broken)


def main() -> None:
    """Serve the connection whose file descriptor is the only argument, until its other end closes.

    A rank that can do nothing more with the others ends.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
    connection = Connection(int(sys.argv[1]))
    orders: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, orders), daemon=True).start()
    try:
        bench = _open(orders.get())
        connection.send(("answer", facts(bench)))
        while not bench.group.broken:
            _obey(orders.get(), bench, connection)
    except EnergybenchError as error:
        connection.send(("refused", str(error)))
    except Exception as error:
        connection.send(("failed", f"rank {os.environ['RANK']}: {one_line(error)}"))
        raise
    orders.get()  # the end: the leading process reads first, and then closes


def _receive(connection: Connection, orders: "SimpleQueue[Any]") -> None:
    try:
        while True:
            orders.put(connection.recv())
    except (EOFError, OSError):
        os._exit(1)  # whatever this rank is at: nobody leads any more


def _open(opening: Opening) -> Bench:
    first = os.environ["RANK"] == "0"
    terminal = open(opening.terminal, "w") if first and opening.terminal else None  # noqa: SIM115
    bench = open_ranks(opening.config, Progress(terminal))
    if opening.idle_watts:
        bench.idle_watts = dict(opening.idle_watts)
        if bench.meters.sources:
            bench.meters.idle_watts = dict(opening.idle_watts)
    return bench


def _obey(order: Order, bench: Bench, connection: Connection) -> None:
    answer = order(bench)
    connection.send(("answer", answer))
    if bench.group.broken and bench.group.rank > 0:
        connection.send(("failed", answer.record.error))
        os._exit(1)  # so that those who wait for it in vain find out
