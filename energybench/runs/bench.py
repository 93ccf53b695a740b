"""What the cells of one run share: configuration, data, device, meters and reference results."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from energybench.compression.base import Compression, precisions_of, required_precision
from energybench.config import PRECISIONS, Cell, RunConfig
from energybench.energy.carbon import CarbonIntensity
from energybench.energy.machine import Machine
from energybench.energy.nodes import global_names
from energybench.energy.readings import Preparation
from energybench.energy.windows import MeterSet, Window
from energybench.errors import CellError, EnergybenchError
from energybench.progress import Progress
from energybench.records.record import Layout, RunRecord
from energybench.registry import MODELS
from energybench.runs import together
from energybench.runs.baselines import REPORTING, read_baseline, write_baseline
from energybench.runs.checkpoints import Checkpoint
from energybench.training.device import gpu_uuid, with_all_threads
from energybench.training.distributed.group import ALONE, Group
from energybench.training.evaluate import evaluate, evaluated_at_once
from energybench.training.precision import check_precision, native
from energybench.workloads.images.data.base import Batches, ImageData, Split
from energybench.workloads.images.weights.source import PretrainedModel, image_size, pretrained

log = logging.getLogger(__name__)


@dataclass
class Bench:
    """One run on one machine. Close it when done."""

    config: RunConfig
    data: ImageData
    device: torch.device
    meters: MeterSet
    machine: Machine
    progress: Progress
    carbon: CarbonIntensity | None = None
    """What the electricity emits; None where no country was named."""
    baselines: dict[tuple[str, int], RunRecord] = field(default_factory=dict)
    """Baseline records of this run by (model, seed), failed ones too."""
    on_demand: list[RunRecord] = field(default_factory=list)
    """Those of them that ran only because another cell needed its reference."""
    batch_sizes: dict[str, int] = field(default_factory=dict)
    """The largest batch of each model, where that was asked for."""
    cached: dict[tuple[str, int], RunRecord] = field(default_factory=dict)
    """Baselines of earlier runs that served as references, by (model, seed)."""
    preparations: list[Preparation] = field(default_factory=list)
    """What the data took before any cell."""
    finished: Callable[[str, RunRecord], None] = lambda key, record: None
    """Is told of every cell that has ended, well or not, before anything else goes on."""
    checkpoint: Callable[[str], Checkpoint] | None = None
    """The checkpoint of the cell with this key; None: cells are not checkpointed."""
    resumed: Callable[[str], RunRecord | None] = lambda key: None
    """What an earlier run left of the cell with this key, if it is not to run again."""
    group: Group = ALONE
    """The ranks that run the cells together; the first of each machine reads its meters."""
    layout: Layout | None = None
    """Where they are; None for one process."""
    sources: dict[str, str] = field(default_factory=dict)
    """Domain -> how it is read, on all machines."""
    idle_watts: dict[str, float] = field(default_factory=dict)
    """Domain -> watts of the idle machines; empty until `measure_idle`."""

    def __post_init__(self) -> None:
        self.sources = self.sources or self.meters.source_names
        self.idle_watts = self.idle_watts or dict(self.meters.idle_watts)

    def window(self, states: bool = False) -> AbstractContextManager[Window]:
        """An energy window that waits for all devices at both ends, see `together.window`."""
        return together.window(self.meters, self.group, self.synchronize, states)

    def overridden(self, tolerance: float | None = None, budget: str | None = None) -> "Bench":
        """This run with another tolerance (percentage points) or budget of epochs for one cell.

        Meters, data, baselines and all else are shared; None leaves what was asked for. Raises
        `UsageError` for a value that the option would refuse, too.
        """
        config = self.config
        if tolerance is not None:
            config = replace(config, tolerance=tolerance)
        if budget is not None:
            config = replace(config, finetune=replace(config.finetune, budget=budget))
        return replace(self, config=config)

    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def require_arithmetic(self, compression: Compression) -> None:
        """Raise `UsageError` if the device does not have what `compression` stands for."""
        required = required_precision(compression)
        if required is not None:
            check_precision(required, self.device)

    def precisions(self, compression: Compression) -> list[str]:
        """Arithmetics to choose from for fine-tuning what `compression` left, the run's own last.

        Beside that they are the narrower ones that lose no bit and that the device executes
        natively; a method that stands for one has only that. Raises `UsageError` where the device
        does not have it.
        """
        self.require_arithmetic(compression)
        own = self.config.precision
        required = required_precision(compression)
        if required is not None:
            return [required]
        narrower = PRECISIONS[PRECISIONS.index(own) + 1 :]
        exact = [name for name in precisions_of(compression) if name in narrower]
        return [*(name for name in exact if native(name, self.device) is None), own]

    def resources(self) -> list[str]:
        """What the ranks of this machine must have for themselves, see `lock.resources`."""
        return together.resources(self.meters, self.group, gpu_uuid(self.device))

    def exclusive_use(self, wait: bool, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the devices that this run measures, see `lock.exclusive_use`."""
        return together.exclusive_use(self.resources(), self.group, wait, say)

    def measure_idle(self) -> None:
        """Measure the idle machines, CUDA contexts open on the devices where they are GPUs."""
        if self.config.measure.idle_s > 0:
            self.group.wait()
            self.meters.measure_idle(self.config.measure.idle_s, self.synchronize)
            everyone = self.group.gather(self.meters.idle_watts)
            self.idle_watts = global_names(everyone, self.group.nodes)

    def close(self) -> None:
        """Close the meters, and part with the other ranks."""
        self.meters.close()
        self.group.leave()

    def pretrained(self, model: str) -> PretrainedModel:
        """The pretrained weights of `model` for this run's data."""
        spec, weights = MODELS.get(model), self.config.weights
        with with_all_threads():
            return pretrained(spec, self.data, weights, self.device, self.progress)

    def check_weights(self, models: Iterable[str]) -> None:
        """Raise `UsageError` unless the given or published weights of all `models` load."""
        if self.config.weights or "pretrain" not in self.data.split_sizes:
            for model in models:
                self.pretrained(model).load(torch.device("cpu"))

    def image_size(self, model: str) -> int:
        """Pixels per side at which `model` sees this run's data."""
        return image_size(MODELS.get(model), self.data)

    def prepare(self, models: Iterable[str], say: Callable[[str], None] = log.info) -> None:
        """Do once, ahead of cells of `models`, what serving them takes, like decoding the images.

        What the data take is in `preparations`, not in any cell's energy. Of several ranks one on
        each machine also pretrains what nobody has. Raises `UsageError`.
        """
        data, group = self.data, self.group
        if group.size > 1:
            first = group.local_rank == 0
            group.together(lambda: [self.pretrained(model) for model in models if first])
        for size in sorted({self.image_size(model) for model in models}):
            work = partial(data.prepare, size, self.device, self.config.data, self.progress, say)
            with self.window() as window:
                done = group.gather(group.together(work))
            for what in list(filter(None, done))[:1]:
                self.preparations.append(Preparation(what, window.reading))
                say(str(self.preparations[-1]))

    def batches(self, split: Split, model: str, seed: int) -> Batches:
        """This run's view of one split for `model`."""
        train = split == "train"
        size = self.config.finetune.batch_size if train else self.evaluation_batch_size
        return self.data.batches(split, self.image_size(model), size, seed, self.group.share)

    @property
    def evaluation_batch_size(self) -> int:
        """Images that are evaluated at once; more than are trained on keep a GPU busier.

        Nothing is kept for gradients, so that more of them fit; the result is that of each image.
        """
        return evaluated_at_once(self.device) * self.config.finetune.batch_size

    def score(self, model: str, seed: int) -> Callable[[nn.Module], float]:
        """Validation accuracy of a network, for searches."""
        batches = self.batches("validation", model, seed)
        return lambda network: (
            evaluate(network, batches, self.device, self.config.precision, self.group).accuracy
        )

    def protocol(self) -> dict[str, Any]:
        """What shapes a cell's numbers, as recorded."""
        return {
            **self.config.protocol(),
            "device": self.device.type,
            "device_name": self._device_name(),
            "precision": self.config.precision,
            "evaluation_batch_size": self.evaluation_batch_size,
            "threads": torch.get_num_threads(),
            "world_size": self.group.size,
            "ranks_per_node": "+".join(map(str, Counter(self.group.nodes).values())),
        }

    def _device_name(self) -> str:
        cuda = self.device.type == "cuda"
        return torch.cuda.get_device_name(self.device) if cuda else self.machine.cpu

    def reference(self, cell: Cell, run: Callable[[Cell], RunRecord]) -> tuple[RunRecord, str]:
        """The baseline that `cell` is compared with, and whether from "this run" or the "cache".

        It is `run` where neither has it. Raises `CellError` when the baseline fails.
        """
        place = cell.model, cell.seed
        baseline, source = self.group.of_first(self._known_reference(cell))
        if source == "cache":
            assert baseline is not None
            self.cached[place] = baseline
        elif place not in self.baselines:
            baseline = self.baselines[place] = baseline or run(cell.reference)
            self.on_demand.append(baseline)
        assert baseline is not None
        if baseline.status != "ok" or baseline.test is None:
            raise CellError(f"no reference: {cell.reference} failed: {baseline.error}")
        return baseline, source

    def _known_reference(self, cell: Cell) -> tuple[RunRecord | None, str]:
        place = cell.model, cell.seed
        if place in self.baselines:
            return self.baselines[place], "this run"
        cached = self.cached.get(place) or read_baseline(
            self._baseline_name(cell), self.config.protocol()
        )
        if cached is not None:
            return cached, "cache"
        return self.resumed(self.key(cell.reference)), "this run"

    def keep_baseline(self, cell: Cell, record: RunRecord) -> None:
        """Remember a finished baseline, in this run and, if it went well, in the user's cache."""
        self.baselines[cell.model, cell.seed] = record
        if record.status == "ok" and self.group.rank == 0:
            write_baseline(self._baseline_name(cell), record)

    def _baseline_name(self, cell: Cell) -> str:
        """Changes with all that can change a baseline's accuracy."""
        protocol = self.protocol()
        for key in REPORTING:
            del protocol[key]
        key = _hash(self._facts(cell) | {"protocol": protocol})
        return f"{cell.model}-seed{cell.seed}-{key}.json"

    def key(self, cell: Cell) -> str:
        """Equal for cells of which one may stand for the other, on whatever day they ran.

        Model, method and seed, data and weights, protocol, hardware, versions, and the way energy
        is read.
        """
        measure = self.config.measure
        return _hash(
            self._facts(cell)
            | {
                "cell": asdict(cell),
                "protocol": self.protocol(),
                "sources": self.sources,
                "measure": [measure.replay, measure.country, measure.trace],
            }
        )

    def _facts(self, cell: Cell) -> dict[str, Any]:
        return {
            "data": self.data.fingerprint,
            "image_size": self.image_size(cell.model),
            **self.data.served(self.image_size(cell.model)),
            "weights": self._weights_key(cell.model),
            "machine": self.machine.fingerprint,
        }

    def _weights_key(self, model: str) -> str:
        try:
            return self.pretrained(model).key
        except EnergybenchError as error:  # as the cell that needs them says
            return f"not available: {error}"


def _hash(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
