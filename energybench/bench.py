"""What the cells of one run share: configuration, data, device, meters and reference results."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from energybench.cache import cache_folder, publish
from energybench.carbon import carbon_intensity
from energybench.compression.base import Compression, precisions_of, required_precision
from energybench.config import PRECISIONS, Cell, RunConfig
from energybench.data.base import Batches, ImageData, Split
from energybench.errors import CellError, EnergybenchError, UsageError
from energybench.hardware import Machine, describe_machine, gpu_id
from energybench.loading import PretrainedModel, image_size, pretrained
from energybench.lock import exclusive_use, resources
from energybench.meters.base import MeterContext, kind_of
from energybench.meters.opening import open_meters
from energybench.meters.window import MeterSet
from energybench.progress import Progress
from energybench.record import CarbonIntensity, RunRecord, from_json
from energybench.registry import DATASETS, MODELS
from energybench.training.evaluate import evaluate
from energybench.training.precision import check_precision, native

log = logging.getLogger(__name__)

_REPORTING = ("tolerance_pp", "budget", "pue")
"""Of the protocol, what changes no measurement of a baseline: a cached one takes this run's."""


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
    cached: dict[tuple[str, int], RunRecord] = field(default_factory=dict)
    """Baselines of earlier runs that served as references, by (model, seed)."""
    finished: Callable[[str, RunRecord], None] = lambda key, record: None
    """Is told of every cell that has ended, well or not, before anything else goes on."""
    resumed: Callable[[str], RunRecord | None] = lambda key: None
    """What an earlier run left of the cell with this key, if it is not to run again."""

    def overridden(self, tolerance_pp: float | None = None, budget: str | None = None) -> "Bench":
        """This run with another tolerance (percentage points) or budget of epochs for one cell.

        Meters, data, baselines and all else are shared; None leaves what was asked for. Raises
        `UsageError` for a value that the option would refuse, too.
        """
        config = self.config
        if tolerance_pp is not None:
            config = replace(config, tolerance_pp=tolerance_pp)
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

    def exclusive_use(self, wait: bool, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the devices that this run measures, see `lock.exclusive_use`."""
        cuda = self.device.type == "cuda"
        trained_on = [f"gpu:{gpu_id(f'GPU-{_uuid(self.device)}')}"] if cuda else []
        names = resources([*self.meters.sources, *trained_on], trains_on_cpu=not cuda)
        return exclusive_use(names, wait, say)

    def measure_idle(self) -> None:
        """Measure the idle machine, a CUDA context open on the device where it is a GPU."""
        if self.config.measure.idle_s > 0:
            self.meters.measure_idle(self.config.measure.idle_s, self.synchronize)

    def close(self) -> None:
        """Close the meters."""
        self.meters.close()

    def pretrained(self, model: str) -> PretrainedModel:
        """The pretrained weights of `model` for this run's data."""
        return pretrained(
            MODELS.get(model), self.data, self.config.weights, self.device, self.progress
        )

    def check_weights(self, models: Iterable[str]) -> None:
        """Raise `UsageError` unless the given or published weights of all `models` load."""
        if self.config.weights or "pretrain" not in self.data.split_sizes:
            for model in models:
                self.pretrained(model).load(torch.device("cpu"))

    def image_size(self, model: str) -> int:
        """Pixels per side at which `model` sees this run's data."""
        return image_size(MODELS.get(model), self.data)

    def batches(self, split: Split, model: str, seed: int) -> Batches:
        """This run's view of one split for `model`."""
        batch_size = self.config.finetune.batch_size
        return self.data.batches(split, self.image_size(model), batch_size, seed)

    def score(self, model: str, seed: int) -> Callable[[nn.Module], float]:
        """Validation accuracy of a network, for searches."""
        batches = self.batches("validation", model, seed)
        return lambda network: (
            evaluate(network, batches, self.device, self.config.precision).accuracy
        )

    def protocol(self) -> dict[str, Any]:
        """What shapes a cell's numbers, as recorded."""
        return {
            **self.config.protocol(),
            "device": self.device.type,
            "device_name": self._device_name(),
            "precision": self.config.precision,
            "threads": torch.get_num_threads(),
        }

    def _device_name(self) -> str:
        cuda = self.device.type == "cuda"
        return torch.cuda.get_device_name(self.device) if cuda else self.machine.cpu

    def reference(self, cell: Cell, run: Callable[[Cell], RunRecord]) -> tuple[RunRecord, str]:
        """The baseline that `cell` is compared with, and whether from "this run" or the "cache".

        It is `run` where neither has it. Raises `CellError` when the baseline fails.
        """
        baseline = self.baselines.get((cell.model, cell.seed))
        if baseline is not None:
            source = "this run"
        elif (cached := self._cached_baseline(cell)) is not None:
            baseline, source = cached, "cache"
            self.cached[cell.model, cell.seed] = cached
        else:
            resumed = self.resumed(self.key(cell.reference))
            baseline, source = resumed or run(cell.reference), "this run"
            self.baselines[cell.model, cell.seed] = baseline
            self.on_demand.append(baseline)
        if baseline.status != "ok" or baseline.test is None:
            raise CellError(f"no reference: {cell.reference} failed: {baseline.error}")
        return baseline, source

    def keep_baseline(self, cell: Cell, record: RunRecord) -> None:
        """Remember a finished baseline, in this run and, if it went well, in the user's cache."""
        self.baselines[cell.model, cell.seed] = record
        if record.status != "ok":
            return
        text = json.dumps(record.to_json())
        try:
            publish(self._baseline_path(cell), lambda path: path.write_text(text))
        except (EnergybenchError, OSError) as error:
            log.warning("the baseline %s is not cached: %s", cell, error)

    def _cached_baseline(self, cell: Cell) -> RunRecord | None:
        try:
            record = from_json(json.loads(self._baseline_path(cell).read_text()))
        except (OSError, ValueError, UsageError):  # none yet, or of another version: made anew
            return None
        ours = self.config.protocol()
        return replace(record, protocol=record.protocol | {key: ours[key] for key in _REPORTING})

    def _baseline_path(self, cell: Cell) -> Path:
        """Keyed by all that can change a baseline's accuracy."""
        protocol = self.protocol()
        for key in _REPORTING:
            del protocol[key]
        key = _hash(self._facts(cell) | {"protocol": protocol})
        return cache_folder("baselines") / f"{cell.model}-seed{cell.seed}-{key}.json"

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
                "sources": self.meters.sources,
                "measure": [measure.replay, measure.country, measure.trace],
            }
        )

    def _facts(self, cell: Cell) -> dict[str, Any]:
        return {
            "data": self.data.fingerprint,
            "image_size": self.image_size(cell.model),
            "weights": self._weights_key(cell.model),
            "machine": self.machine.fingerprint,
        }

    def _weights_key(self, model: str) -> str:
        try:
            found = self.pretrained(model)
        except EnergybenchError as error:  # as the cell that needs them says
            return f"not available: {error}"
        if found.path is None:
            return found.source
        stat = found.path.stat()
        return str(found.facts.get("key") or (found.source, stat.st_size, stat.st_mtime_ns))


def _hash(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def open_bench(config: RunConfig, progress: Progress, for_energy: bool = True) -> Bench:
    """Check everything that a run needs and open it; raises `UsageError` before any training.

    A run `for_energy` needs the energy of the GPU that it uses; others do without.
    """
    kind, _, location = config.dataset.partition(":")
    device = _device(config.device)
    check_precision(config.precision, device)
    data: ImageData = DATASETS.get(kind)(location)
    measure = config.measure
    carbon = None if measure.country is None else carbon_intensity(measure.country)
    meters = open_meters(measure.meters, replace(_gpus(device), replay=measure.replay))
    gpu_is_read = any(kind_of(domain) == "gpu" for domain in meters.sources)
    unread = device.type == "cuda" and not gpu_is_read
    if for_energy and unread and measure.meters == ("auto",):
        meters.close()
        raise UsageError(
            f"the energy of {device} cannot be read: {meters.unavailable['nvml']}; "
            "name the meters to do without it, for instance --energy-meter=rapl"
        )
    return Bench(config, data, device, meters, describe_machine(), progress, carbon)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}; use cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; use cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        index = device.index or 0
        if index >= count:
            raise UsageError(
                f"no device cuda:{index}: this PyTorch sees {count} CUDA devices; "
                "use --energy-device=cpu, or check the driver and CUDA_VISIBLE_DEVICES"
            )
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
    return device


def _gpus(device: torch.device) -> MeterContext:
    if device.type != "cuda":
        return MeterContext()
    return MeterContext(gpu_uuids=(_uuid(device),), gpu_indices=(device.index,))


def _uuid(device: torch.device) -> str:
    """As NVML has it, without its prefix."""
    return str(torch.cuda.get_device_properties(device).uuid)
