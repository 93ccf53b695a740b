"""The opened resources of one process that trains: data, device, meters.

A rank has one session for all cells of a run. Nothing in it changes while cells run.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import nn

from energybench.compression.base import (
    Compression,
    Judged,
    Score,
    precisions_of,
    required_precision,
)
from energybench.config import PRECISIONS, RunConfig
from energybench.energy.assumptions import Assumptions
from energybench.energy.grid import Grid
from energybench.energy.machine import Machine
from energybench.energy.nodes import global_names
from energybench.energy.readings import Preparation
from energybench.energy.windows import MeterSet, Window
from energybench.errors import EnergybenchError
from energybench.progress import Progress
from energybench.records.record import Placement
from energybench.runs import across_ranks
from energybench.runs.facts import Facts
from energybench.training.device import gpu_uuid, with_all_threads
from energybench.training.distributed.group import ALONE, Group
from energybench.training.evaluate import evaluate, evaluated_at_once
from energybench.training.precision import check_precision, native
from energybench.training.recalibrate import recalibrate
from energybench.workloads.base import (
    Batches,
    PreparedData,
    PretrainedTask,
    Source,
    Split,
    Varies,
    Weights,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """One process, or rank, of a run; `startup.open_session` makes it. Close it at the end."""

    config: RunConfig
    data: PreparedData
    device: torch.device
    meters: MeterSet
    """Open meters of this machine; empty on ranks that leave reading to another rank."""
    machine: Machine
    progress: Progress
    carbon: Grid | None = None
    """Emissions of the grid; None if none was named."""
    group: Group = ALONE
    """The ranks that run every cell together."""
    placement: Placement | None = None
    """Machine, device and threads of each rank; None for a single process."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Domain -> meter source, over all machines."""
    assumptions: Assumptions | None = None
    """The watts behind estimated energies, of the first machine that estimates."""
    idle_watts: Mapping[str, float] = field(default_factory=dict)
    """Domain -> power of the idle machine, in watts; empty until `with_idle_watts`."""
    source: Source | None = None
    """Prepares `data` for more models; None if `data` serves any model already."""
    say: Callable[[str], None] = log.info
    """Callback for one line about long work, before the work starts."""

    def window(self, states: bool = False) -> AbstractContextManager[Window]:
        """Open an energy window over all ranks, see `across_ranks.window`."""
        return across_ranks.window(self.meters, self.group, self.synchronize, states)

    def synchronize(self) -> None:
        """Wait until the device has finished its queued work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def require_arithmetic(self, compression: Compression) -> None:
        """Raise `UsageError` if the device lacks the arithmetic that `compression` requires."""
        required = required_precision(compression)
        if required is not None:
            check_precision(required, self.device)

    def precisions(self, compression: Compression) -> list[str]:
        """List the arithmetics in which a compressed model may be fine-tuned.

        The run's own arithmetic is the last entry. The others are narrower, hold every retained
        bit, and run natively on the device. A method that requires one arithmetic gets only
        that one. Raises `UsageError` if the device lacks the required arithmetic.
        """
        self.require_arithmetic(compression)
        own = self.config.precision
        required = required_precision(compression)
        if required is not None:
            return [required]
        narrower = PRECISIONS[PRECISIONS.index(own) + 1 :]
        exact = [name for name in precisions_of(compression) if name in narrower]
        return [*(name for name in exact if native(name, self.device) is None), own]

    def facts(self) -> Facts:
        """Describe the hardware for the leader of the run; a collective call on several ranks."""
        lacking = {}
        for precision in PRECISIONS:
            try:
                check_precision(precision, self.device)
            except EnergybenchError as error:
                lacking[precision] = str(error)
        cuda = self.device.type == "cuda"
        return Facts(
            machine=self.machine,
            device=self.device.type,
            device_name=torch.cuda.get_device_name(self.device) if cuda else self.machine.cpu,
            threads=torch.get_num_threads(),
            evaluated_at_once=evaluated_at_once(self.device),
            nodes=tuple(self.group.nodes),
            sources=dict(self.sources),
            assumptions=self.assumptions,
            unavailable=dict(self.meters.unavailable),
            lacking=lacking,
            resources=self.resources(),
            placement=self.placement,
            vary=self.vary,
        )

    def resources(self) -> list[str]:
        """Name the devices that this machine's ranks hold alone, see `lock.resources`."""
        return across_ranks.resources(self.meters, self.group, gpu_uuid(self.device))

    def exclusive_use(self, wait: bool, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the measured devices, see `lock.exclusive_use`."""
        return across_ranks.exclusive_use(self.resources(), self.group, wait, say)

    def with_idle_watts(self) -> "Session":
        """Measure the power of the idle machines and return a session with `idle_watts`.

        CUDA contexts are open on the devices meanwhile. `config.measure.idle_s` of 0 skips the
        measurement.
        """
        if self.config.measure.idle_s <= 0:
            return self
        self.group.barrier()
        self.meters.measure_idle(self.config.measure.idle_s, self.synchronize)
        everyone = self.group.all_gather(self.meters.idle_watts)
        return replace(self, idle_watts=global_names(everyone, self.group.nodes))

    def close(self) -> None:
        """Close the meters and leave the group of ranks."""
        self.meters.close()
        self.group.close()

    @property
    def vary(self) -> str:
        """What a seed changes: `all` where the weights are made here, unless `config` says."""
        own = varies(self.data, self.config)
        return self.config.vary or ("all" if own else "order")

    def of_seed(self, seed: int) -> "Session":
        """Return the session of one seed: with its splits and its weights, if seeds vary them."""
        if self.vary == "order" or not isinstance(self.data, Varies):
            return self
        return replace(self, data=self.data.varied(seed))

    def task(self, model: str) -> PretrainedTask:
        """Return the task of training `model` on this run's data."""
        return self.data.task(model, self.config.weights, self.device)

    def weights(self, model: str) -> Weights:
        """Return the weights of `model`; their key is known before they are trained."""
        with with_all_threads():  # the number of threads is part of the key
            return self.task(model).weights

    def pretrained(self, model: str) -> Weights:
        """Return the pretrained weights of `model`; missing ones are trained now."""
        found = self.weights(model)
        found.ensure(self.progress, self.say)
        return found

    def check_weights(self, models: Iterable[str]) -> None:
        """Raise `UsageError` unless the given or published weights of all `models` load."""
        if self.config.weights or "pretrain" not in self.data.split_sizes:
            for model in models:
                self.pretrained(model).load(torch.device("cpu"))

    def prepare(self, models: Collection[str]) -> "tuple[Session, list[Preparation]]":
        """Do the work that cells of `models` share, such as decoding images, ahead of them.

        Returns the session with the prepared data, and the work with its energy, which counts for
        no cell. The first rank on each machine pretrains missing networks. Raises
        `UsageError`.
        """
        session, preparations = self, []
        new = set(models) - self.data.models
        if self.source is not None and new:
            names = sorted(self.data.models | new)
            work = partial(
                self.source.prepare, names, self.device, self.config.data, self.progress, self.say
            )
            with self.window() as window:
                data = self.group.run_on_all(work)
                built = self.group.all_gather("; ".join(data.built))
            session = replace(self, data=data)
            for what in list(filter(None, built))[:1]:
                preparations.append(Preparation(what, window.reading))
                self.say(str(preparations[-1]))
        session.share_weights(models)
        return session, preparations

    def share_weights(self, models: Iterable[str]) -> None:
        """Pretrain missing networks on the first rank of each machine, where several wait for them.

        A collective call. A single process pretrains a network when its first cell needs it.
        """
        if self.group.world_size > 1:
            first = self.group.local_rank == 0
            self.group.run_on_all(lambda: [self.pretrained(model) for model in models if first])

    def batches(self, split: Split, model: str, seed: int) -> Batches:
        """Serve one split to `model`, this rank's share of it."""
        train = split == "train"
        size = self.config.finetune.batch_size if train else self.evaluation_batch_size
        return self.task(model).batches(split, size, seed, self.group.share)

    @property
    def evaluation_batch_size(self) -> int:
        """Items per evaluation batch; larger than a training batch if that is faster on a GPU."""
        return evaluated_at_once(self.device) * self.config.finetune.batch_size

    def recalibrate(self, network: nn.Module, model: str, seed: int) -> None:
        """Estimate batch-norm statistics anew; every rank passes over the whole training split."""
        task, size = self.task(model), self.config.finetune.batch_size
        batches = task.batches("train", size, seed)
        recalibrate(network, task, batches, self.device, self.config.precision)

    def score(self, model: str, seed: int) -> Score:
        """Make the score that a search calls: the task's metric on the validation split."""
        task, batches = self.task(model), self.batches("validation", model, seed)
        precision = self.config.precision

        def measure(network: nn.Module) -> Judged:
            found = evaluate(network, task, batches, self.device, precision, self.group)
            return Judged(found.value, found.right)

        return Score(measure, task.metric)


def varies(data: PreparedData, config: RunConfig) -> bool:
    """Return whether seeds can vary pretraining and splits: the run pretrains on `data` itself."""
    return isinstance(data, Varies) and "pretrain" in data.split_sizes and config.weights is None
