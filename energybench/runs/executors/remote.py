"""A run whose cells several ranks run together, seen from the process that leads them.

This process trains nothing and opens no GPU: it resolves references, keeps records and sleeps.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from energybench.compression.base import Compression, required_precision
from energybench.config import Cell, RunConfig
from energybench.energy.lock import exclusive_use
from energybench.energy.machine import describe_machine
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.records.record import RunRecord
from energybench.runs.bench import Bench
from energybench.runs.cell import Timer
from energybench.runs.draft import Draft
from energybench.runs.executors import worker
from energybench.runs.executors.processes import RankDied, Workers
from energybench.runs.opening import check_ranks, open_carbon, open_data
from energybench.training.device import find_device
from energybench.workloads.base import Weights

log = logging.getLogger(__name__)


@dataclass
class _Led:
    """The ranks of now, and how to start others when they are dead."""

    config: RunConfig
    ranks: int
    terminal: str | None
    idle_watts: dict[str, float] = field(default_factory=dict)
    prepared: set[str] = field(default_factory=set)
    workers: Workers | None = None

    def start(self) -> worker.Facts:
        """Start ranks, and return what they know."""
        self.workers = Workers("energybench.runs.executors.worker", self.ranks)
        opening = worker.Opening(self.config, self.terminal, self.idle_watts)
        found: worker.Facts = self.workers.ask(opening)
        return found

    def ask(self, order: worker.Order) -> Any:
        """`Workers.ask`, of new ones if need be."""
        if self.workers is None or not self.workers.alive:
            self.start()
        assert self.workers is not None
        return self.workers.ask(order)

    def close(self) -> None:
        """End the ranks."""
        if self.workers is not None and self.workers.alive:
            self.workers.close()


@dataclass
class RemoteBench(Bench):
    """As a `Bench`, but its ranks have the devices and the meters."""

    led: _Led = field(kw_only=True)
    facts: worker.Facts = field(kw_only=True)

    def synchronize(self) -> None:
        """Nothing runs in this process."""

    def require_arithmetic(self, compression: Compression) -> None:
        """Raise `UsageError` if the devices do not have what `compression` stands for."""
        required = required_precision(compression)
        if required in self.facts.lacking:
            raise UsageError(self.facts.lacking[required])

    @contextmanager
    def exclusive_use(self, wait: bool, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the devices that the ranks measure, see `lock.exclusive_use`."""
        with exclusive_use(self.facts.resources, wait, say):
            yield

    def measure_idle(self) -> None:
        """Let the ranks measure the idle machine."""
        self.led.idle_watts = self.idle_watts = self.led.ask(worker.measure_idle)

    def close(self) -> None:
        """End the ranks."""
        self.led.close()

    def prepare(self, models: Collection[str], say: Callable[[str], None] = log.info) -> None:
        """Let the ranks prepare, see `Bench.prepare`; then open here what they have made."""
        new = [model for model in models if model not in self.led.prepared]
        if not new:
            return
        for done in self.led.ask(partial(worker.prepare, new)):
            self.preparations.append(done)
            say(str(done))
        self.led.prepared.update(new)
        assert self.source is not None
        names, config = sorted(self.led.prepared), self.config.data
        self.data = self.source.prepare(names, self.device, config, self.progress, say)

    def pretrained(self, model: str) -> Weights:
        """The pretrained weights of `model` for this run's data."""
        if "pretrain" in self.data.split_sizes:
            self.prepare([model])
        return super().pretrained(model)

    def protocol(self) -> dict[str, Any]:
        """What shapes a cell's numbers, as recorded."""
        return self.facts.protocol | self.config.protocol()


def open_remote(config: RunConfig, ranks: int, progress: Progress, terminal: str | None) -> Bench:
    """Start `ranks` on this machine and let them open the run, see `open_bench`."""
    check_ranks(config, ranks)
    find_device(config.device, 0, ranks, use=False)
    led = _Led(config, ranks, terminal)
    try:
        facts = led.start()
    except RankDied as error:
        raise UsageError(str(error)) from error
    source, device = open_data(config), torch.device(facts.device)
    return RemoteBench(
        config,
        source.prepare((), device, config.data, progress, lambda line: None),
        device,
        MeterSet({}, facts.unavailable),
        describe_machine(),
        progress,
        open_carbon(config),
        layout=facts.layout,
        sources=facts.sources,
        source=source,
        led=led,
        facts=facts,
    )


def run_remotely(cell: Cell, bench: RemoteBench, timer: Timer = lambda timed: timed()) -> RunRecord:
    """`run_cell` by the ranks of `bench`; `timer` is given the seconds that rank 0 measured.

    A rank that dies fails the cell with its error; the next cell has new ranks.
    """
    draft = Draft(cell, bench)
    ended: worker.Ended | None = None
    interruption: BaseException | None = None
    try:
        if cell != cell.reference:
            draft.reference = bench.reference(cell, lambda one: run_remotely(one, bench))
        ended = bench.led.ask(partial(worker.run, cell, bench.config, draft.reference))
    except RankDied as error:
        draft.fail(error)
        ended = _rescued(bench.led, cell)
    except Exception as error:
        draft.fail(error)
    except BaseException as error:
        draft.interrupt(error)
        interruption = error
        ended = _rescued(bench.led, cell)
    record = draft.record()
    if ended is not None:
        record = ended.record
        if draft.status != "ok":
            record = replace(record, status=draft.status, error=draft.error)
        if ended.broken:
            bench.led.close()
        if ended.seconds is not None:
            timer(lambda: ended.seconds or 0.0)
    if cell == cell.reference and interruption is None:
        bench.baselines[cell.model, cell.seed] = record
    bench.finished(bench.key(cell), record)
    if interruption is not None:
        raise interruption
    return record


def _rescued(led: _Led, cell: Cell) -> worker.Ended | None:
    """What rank 0 could still say, if that is of `cell` and not of its reference."""
    found = None if led.workers is None else led.workers.rescued
    if not isinstance(found, worker.Ended):
        return None
    of = Cell(found.record.model, found.record.method, found.record.seed)
    return found if of == cell else None
