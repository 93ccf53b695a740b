"""Measures a few training steps of a cell, and everything before them, on every rank of it.

Nothing of the cell is trained to the end, tested, or kept.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import fmean

from torch import nn

from energybench.compression.base import Compression, Judged, Score
from energybench.compression.compose import build
from energybench.energy.readings import EnergyReading
from energybench.energy.windows import MARGIN
from energybench.errors import EnergybenchError
from energybench.records.forecast import MemoryUse
from energybench.records.record import RunRecord
from energybench.registry import BASELINE
from energybench.runs.fine_tuning import FineTuning
from energybench.runs.forecasts.cost import Cost, Costed, Effort
from energybench.runs.forecasts.memory import MemoryWatch
from energybench.runs.jobs import Job
from energybench.runs.measured import Measured
from energybench.runs.phases import Phases
from energybench.runs.resuming import Resuming
from energybench.runs.session import Session
from energybench.training.device import free_memory
from energybench.training.distributed.sharding import gathered
from energybench.training.evaluate import evaluate
from energybench.training.failures import cuts_short, one_line
from energybench.training.finetune import require_free
from energybench.training.passes import sgd, train_pass
from energybench.training.plan import Finetuning
from energybench.training.warm_up import STEPS as WARM_UP_STEPS
from energybench.workloads.base import Batch, Batches, Split, Weights

ROUNDS = 5
"""Rounds of training steps and validation batches; each gives the seconds of an epoch."""

_BUSY = "other programs used the machine while it was measured; on a quiet one it takes less"


class _TooLong(EnergybenchError):
    """A search was cut short."""


def measure_cost(job: Job, session: Session, effort: Effort) -> Costed:
    """Measure the cost of one cell, or return the reason why it has none; a collective call.

    Its network is loaded and compressed as in the cell. Where a search takes longer than
    `effort.search_s`, the steps are those of the uncompressed network, and a note says so.
    """
    session = replace(session, config=job.config).of_seed(job.cell.seed)
    error, cost = None, None
    try:
        cost = _Cell(job, session, effort).cost()
    except Exception as raised:
        if cuts_short(raised):
            raise
        error = one_line(raised)
    free_memory()
    error = session.group.first_failure(error)
    return Costed(None if error else cost, error)


@dataclass
class _Rounds:
    """What the rounds measured on this rank."""

    epochs_s: list[float] = field(default_factory=list)
    validation_batch_s: float = 0.0
    step_s: float = 0.0
    steps: int = 0
    reading: EnergyReading | None = None
    memory: MemoryUse | None = None


class _Cell:
    """One cell whose cost is measured."""

    def __init__(self, job: Job, session: Session, effort: Effort) -> None:
        self._job, self._session, self._effort = job, session, effort
        self._measured = Measured(precision=session.config.precision)
        phases = Phases(session, self._measured)
        self._phases = phases
        resuming = Resuming(None, self._measured, phases.window)
        self._fine_tuning = FineTuning(
            job, session, self._measured, phases, resuming, self._no_record
        )
        self._notes: list[str] = []

    @staticmethod
    def _no_record() -> RunRecord:
        raise AssertionError("nothing is saved of a cell that is only measured")

    def cost(self) -> Cost:
        """Measure the cell."""
        session, cell = self._session, self._job.cell
        session.share_weights([cell.model])
        weights = session.pretrained(cell.model)
        model, compression = self._compressed(weights)
        candidates = session.precisions(compression)
        forward = self._fine_tuning.compiled(model, compression, candidates)
        self._fine_tuning.choose_precision(model, compression, candidates, forward)
        self._fine_tuning.lay_out(model)
        run = replace(self._fine_tuning.plan(), forward=forward)
        with _trainable(model, compression, run) as (network, run):
            found = self._rounds(network, compression, run)
        assert found.reading is not None
        everyone = session.group.all_gather((found.epochs_s, found.memory))
        rounds = [max(seconds) for seconds in zip(*(one for one, _ in everyone), strict=True)]
        reading = found.reading
        if "contaminated" in reading.flags:
            self._notes.append(_BUSY)
        return Cost(
            rounds=rounds,
            watts=reading.watts,
            outside_s=self._outside_s(found),
            steps=found.steps,
            memory=[memory for _, memory in everyone if memory is not None],
            notes=self._notes,
            energy_source="+".join(sorted(set(reading.sources.values()))) or "none",
            cpu_s_per_epoch=_cpu_s(reading, fmean(rounds)),
        )

    def _compressed(self, weights: Weights) -> tuple[nn.Module, Compression]:
        """Load and compress the network; the whole one where its search takes too long."""
        session, cell = self._session, self._job.cell
        model = self._loaded(weights)
        compression = build(cell.method)
        score = _limited(session.score(cell.model, cell.seed), self._effort.search_s, session)
        try:
            with self._phases.phase("compress"):
                report = compression.compress(model, score, session.config.tolerance)
                if session.config.recalibrate_bn:
                    session.recalibrate(model, cell.model, cell.seed)
                made = model, compression, report
                model, compression, _ = session.group.broadcast_unless_equal(made, model)
        except _TooLong:
            self._notes.append(
                f"its search takes over {self._effort.search_s:g} s and was cut short: the steps "
                "are those of the uncompressed model, and the rest of the search is not in it"
            )
            model, compression = self._loaded(weights), build(BASELINE)
            compression.compress(model, score, session.config.tolerance)
        return model, compression

    def _loaded(self, weights: Weights) -> nn.Module:
        session = self._session
        with self._phases.phase("load"):
            model, facts = weights.load(session.device, self._job.cell.seed)
            model = session.group.broadcast_unless_equal(model, model)
            self._fine_tuning.lay_out(model)
        left_out = "its new head is trained first, which is not in it"
        if facts["head_replaced"] and left_out not in self._notes:
            self._notes.append(left_out)
        return model

    def _rounds(self, network: nn.Module, compression: Compression, run: Finetuning) -> _Rounds:
        """Train and evaluate in rounds within one energy window, and watch the memory."""
        session, group = self._session, self._session.group
        training, validation = _endless(run.train), _endless(run.validation)
        steps, batches = (self._whole_batches(split) for split in ("train", "validation"))
        optimizer = sgd(network, run.config)
        copies = 2 if run.device.type == "cpu" else 1  # the best epoch's, and on a CPU epoch 0's
        kept = [[one.clone() for one in network.state_dict().values()] for _ in range(copies)]

        def train(count: int) -> float:
            few = replace(run, train=itertools.islice(training, count))
            return self._timed(lambda: train_pass(network, compression, optimizer, few))

        def judge(count: int) -> float:
            few = itertools.islice(validation, count)
            with gathered(network):
                return self._timed(
                    lambda: evaluate(network, run.task, few, run.device, run.precision, group)
                )

        train(1)  # allocates gradients and momenta
        judge(1)
        own = train(1), judge(1)
        step_s, batch_s = (max(every) for every in zip(*group.all_gather(own), strict=True))
        share = self._share(step_s * steps + batch_s * batches)
        if share >= 1:  # whole epochs, the last batch as small as it is
            steps, batches = (len(self._batches(split)) for split in ("train", "validation"))
        some, few = (max(1, round(min(1.0, share) * count)) for count in (steps, batches))
        found = _Rounds()
        memory = MemoryWatch(network, optimizer, run.device)
        end = time.perf_counter() + MARGIN * session.meters.min_window_s
        with session.window() as window:
            while len(found.epochs_s) < ROUNDS or group.broadcast(time.perf_counter() < end):
                start = time.perf_counter()
                with run.window():
                    with run.window():
                        trained_s = train(some)
                    judged_s = judge(few)
                meters_s = time.perf_counter() - start - trained_s - judged_s
                seconds = trained_s / some * steps + judged_s / few * batches + meters_s
                found.epochs_s.append(seconds)
                found.steps += some
                found.step_s, found.validation_batch_s = trained_s / some, judged_s / few
        found.reading, found.memory = window.reading, memory.use()
        del kept
        return found

    def _share(self, epoch_s: float) -> float:
        """The share of an epoch that one round measures."""
        return self._effort.seconds / ROUNDS / epoch_s if epoch_s > 0 else 1.0

    def _timed(self, work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        self._session.synchronize()
        return time.perf_counter() - start

    def _outside_s(self, found: _Rounds) -> float:
        """Sum the seconds of the cell outside fine-tuning, see `runs.cell`.

        The cell loads its weights twice, once to warm up. It judges the validation split before
        and, unless it is a baseline, after compressing, and the test split twice.
        """
        phases = self._measured.phases
        once = sum(reading.duration_s for reading in phases.values()) + phases["load"].duration_s
        cell = self._job.cell
        unchanged = cell == cell.reference and not self._session.config.recalibrate_bn
        validation, test = (self._whole_batches(split) for split in ("validation", "test"))
        judged = (1 if unchanged else 2) * validation + 2 * test + 1
        return once + WARM_UP_STEPS * found.step_s + judged * found.validation_batch_s

    def _whole_batches(self, split: Split) -> float:
        """The batches of an epoch, a smaller last one as the part that it is."""
        session, cell = self._session, self._job.cell
        train = split == "train"
        size = session.config.finetune.batch_size if train else session.evaluation_batch_size
        items = len(session.task(cell.model).batches(split, 1, cell.seed))
        return min(float(len(self._batches(split))), items / size)

    def _batches(self, split: Split) -> Batches:
        cell = self._job.cell
        return self._session.batches(split, cell.model, cell.seed)


def _cpu_s(reading: EnergyReading, epoch_s: float) -> float | None:
    """The CPU seconds of an epoch of `epoch_s` seconds, at the rate of the whole window."""
    if reading.cpu is None or reading.duration_s <= 0:
        return None
    return epoch_s * reading.cpu.own_s / reading.duration_s


@contextmanager
def _trainable(
    model: nn.Module, compression: Compression, run: Finetuning
) -> Iterator[tuple[nn.Module, Finetuning]]:
    """Give the network to train and its run, as `training.finetune` makes them of ranks."""
    if run.shard:
        require_free(compression)
        with run.group.sharded(model) as parts:
            yield parts, run
        return
    with run.group.data_parallel(model) as network:
        yield model, replace(run, forward=network or run.forward)


def _endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Give one epoch after the other: rounds pay for the start of an epoch as often as it is.

    A rank may have no batch of a small split.
    """
    while True:
        served = 0
        for batch in batches:
            yield batch
            served += 1
        if not served:
            return


def _limited(score: Score, seconds: float, session: Session) -> Score:
    """Return `score`, which raises `_TooLong` when it is called after `seconds`, on all ranks."""
    end = time.perf_counter() + seconds

    def measure(network: nn.Module) -> float | Judged:
        if session.group.broadcast(time.perf_counter() > end):
            raise _TooLong("the search was cut short")
        return score.measure(network)

    return Score(measure, score.metric)
