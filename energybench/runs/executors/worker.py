"""One rank of a run that another process leads: open a session and obey orders."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from energybench.config import RunConfig
from energybench.errors import EnergybenchError
from energybench.interruption import interrupt
from energybench.progress import Progress
from energybench.runs.executors.in_process import InProcess
from energybench.runs.facts import Facts, Prepared
from energybench.runs.forecasts.cost import Costed, Effort
from energybench.runs.jobs import Job, Outcome
from energybench.runs.startup import open_rank
from energybench.training.failures import one_line

Order = Callable[[InProcess], Any]
"""Work for a rank; `facts`, `prepare` and `run` are orders once their other arguments are bound."""


@dataclass(frozen=True)
class Opening:
    """The first message to a rank."""

    config: RunConfig
    models: tuple[str, ...]
    """Models; weights that the user named are checked at once."""
    terminal: str | None
    """Path of the terminal on which rank 0 draws its progress."""
    idle_watts: Mapping[str, float]
    """Domain -> idle power, measured by earlier ranks of this run; empty without any."""


def facts(rank: InProcess) -> Facts:
    """Describe the hardware, an order."""
    return rank.facts


def prepare(models: Sequence[str], rank: InProcess) -> tuple[list[Prepared], dict[str, float]]:
    """Prepare `models`, an order; the answer includes the idle power. See `Executor.prepare`."""
    found = rank.prepare(models)
    return found, dict(rank.session.idle_watts)


def run(job: Job, rank: InProcess) -> Outcome:
    """Run `job`, an order. An interrupted rank breaks the group, since the others wait for it."""
    outcome = rank.submit(job).result()
    if outcome.interruption is not None:
        rank.session.group.broken = True
        return replace(outcome, interruption=None, broken=True)
    return outcome


def cost(job: Job, effort: Effort, rank: InProcess) -> Costed:
    """Measure a few steps of `job`, an order."""
    return rank.cost(job, effort)


def main() -> None:
    """Obey the orders of the connection whose file descriptor is the only argument.

    The rank ends when the connection closes, or when the group of ranks is broken.
    """
    signal.signal(signal.SIGINT, lambda *_: interrupt("SIGINT"))  # background jobs ignore it
    connection = Connection(int(sys.argv[1]))
    orders: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, orders), daemon=True).start()
    try:
        rank = _open(orders.get(), connection)
        connection.send(("answer", rank.facts))
        while not rank.session.group.broken:
            _obey(orders.get(), rank, connection)
    except EnergybenchError as error:
        connection.send(("refused", str(error)))
    except Exception as error:
        connection.send(("failed", f"rank {os.environ['RANK']}: {one_line(error)}"))
        raise
    orders.get()  # the leader reads the last answer, then closes the connection


def _receive(connection: Connection, orders: "SimpleQueue[Any]") -> None:
    try:
        while True:
            orders.put(connection.recv())
    except (EOFError, OSError):
        os._exit(1)  # the leader has ended: end at once, even within a job


def _open(opening: Opening, connection: Connection) -> InProcess:
    first = os.environ["RANK"] == "0"
    terminal = open(opening.terminal, "w") if first and opening.terminal else None  # noqa: SIM115
    progress = Progress(terminal)

    def say(line: str) -> None:
        """Let a line appear once: above this rank's bars, or where the leader writes."""
        if terminal is not None:
            progress.say(line)
        elif first:
            connection.send(("said", line))

    session = open_rank(opening.config, progress, say)
    session.check_weights(opening.models)
    if opening.idle_watts:
        session = replace(session, idle_watts=dict(opening.idle_watts))
        if session.meters.sources:
            session.meters.idle_watts = dict(opening.idle_watts)
    return InProcess(session)


def _obey(order: Order, rank: InProcess, connection: Connection) -> None:
    answer = order(rank)
    connection.send(("answer", answer))
    group = rank.session.group
    if group.broken and group.rank > 0:
        error = answer.error if isinstance(answer, Costed) else answer.record.error
        connection.send(("failed", error))
        os._exit(1)  # the waiting ranks notice the death
