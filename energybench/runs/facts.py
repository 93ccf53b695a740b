"""Facts that identify the hardware of a job, and the cache keys of its results."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from energybench.config import Cell, MeasureConfig, RunConfig
from energybench.energy.assumptions import Assumptions
from energybench.energy.machine import Machine
from energybench.energy.readings import Preparation
from energybench.records.record import Dataset, Placement, Protocol

REPORTING = ("tolerance", "budget", "pue")
"""Protocol fields that change no measurement of a baseline."""


@dataclass(frozen=True)
class Facts:
    """Machine, device and meters of an executor."""

    machine: Machine
    device: str
    """`cpu` or `cuda`."""
    device_name: str
    threads: int
    """PyTorch's CPU threads on the first rank."""
    evaluated_at_once: int
    """Training batches that make one evaluation batch."""
    nodes: tuple[int, ...] = (0,)
    """Rank -> number of its machine."""
    sources: dict[str, str] = field(default_factory=dict)
    """Domain -> meter source."""
    assumptions: Assumptions | None = None
    """The watts behind estimated energies; None where nothing is estimated, or not known."""
    unavailable: dict[str, str] = field(default_factory=dict)
    """Meter -> reason why it is not read."""
    lacking: dict[str, str] = field(default_factory=dict)
    """Arithmetic -> reason why the device lacks it."""
    resources: list[str] = field(default_factory=list)
    """Names of the devices to lock, see `energy.lock`."""
    placement: Placement | None = None
    """Where the ranks run; None for a single process."""
    vary: str = "order"
    """What a seed changes, see `Protocol.vary`."""

    def of_kind(self) -> "Facts":
        """Return the same facts for every machine of this kind: without the boards' own ids."""
        boards = [gpu["id"] for gpu in self.machine.gpus]
        names = {f"gpu:{board}": f"gpu:{place}" for place, board in enumerate(boards)}
        sources = {names.get(domain, domain): name for domain, name in self.sources.items()}
        return replace(self, machine=self.machine.of_kind(), sources=sources)

    def protocol(self, config: RunConfig) -> Protocol:
        """Collect every setting that shapes the numbers of a cell under `config`."""
        return Protocol(
            **config.protocol(),
            device=self.device,
            device_name=self.device_name,
            precision=config.precision,
            evaluation_batch_size=self.evaluated_at_once * config.finetune.batch_size,
            threads=self.threads,
            world_size=len(self.nodes),
            ranks_per_node="+".join(map(str, Counter(self.nodes).values())),
            vary=self.vary,
        )


@dataclass(frozen=True)
class Prepared:
    """One model whose data and weights are ready.

    Where a seed varies splits and weights, these are seed 0's; theirs and the seed fix the others.
    """

    model: str
    dataset: Dataset
    weights_key: str
    """Cache key of the pretrained weights."""
    batch_size: int | None = None
    """The largest batch that fits, if `config.largest_batch` asks for it."""
    work: tuple[Preparation, ...] = ()
    """Work done ahead of all cells, with its energy."""
    error: str | None = None
    """Reason why no cell of the model can run; None if cells can run."""


def cell_config(
    config: RunConfig,
    prepared: Prepared,
    tolerance: float | None = None,
    budget: str | None = None,
) -> RunConfig:
    """Return the configuration of one cell: with its own tolerance and budget, and a batch size.

    The batch size is the largest that fits, where `config` asks for it.
    """
    finetune = config.finetune
    if budget is not None:
        finetune = replace(finetune, budget=budget)
    if config.largest_batch and prepared.batch_size is not None:
        finetune = replace(finetune, batch_size=prepared.batch_size)
    config = replace(config, finetune=finetune, largest_batch=False)
    return config if tolerance is None else replace(config, tolerance=tolerance)


def cell_key(cell: Cell, config: RunConfig, facts: Facts, prepared: Prepared) -> str:
    """Return the cache key of a cell's result: 16 hexadecimal digits.

    Two cells with the same key are interchangeable. The key covers model, method and seed, data and
    weights, protocol, hardware, versions, the meters, and the watts that an estimate assumes.
    """
    measure = config.measure
    return _hash(
        _base(facts, prepared)
        | {
            "cell": asdict(cell),
            "protocol": asdict(facts.protocol(config)),
            "sources": facts.sources,
            "measure": [measure.replay, measure.country, measure.trace],
            **_emissions(measure),
        }
    )


def _emissions(measure: MeasureConfig) -> dict[str, Any]:
    """The options beside the country by which emissions are reported; {} without any."""
    names = ("intensity_file", "intensity_zone", "intensity_factors", "embodied_g_per_hour")
    asked = {name: getattr(measure, name) for name in names}
    return {"emissions": asked} if any(one is not None for one in asked.values()) else {}


def baseline_file(cell: Cell, config: RunConfig, facts: Facts, prepared: Prepared) -> str:
    """Return the file name of a cached baseline, such as `resnet18-seed0-0a1b2c3d4e5f6071.json`.

    The name changes with every setting that can change the metric of a baseline, and with the watts
    that an estimate of its energy assumes.
    """
    protocol = asdict(facts.protocol(config))
    for name in REPORTING:
        del protocol[name]
    key = _hash(_base(facts, prepared) | {"protocol": protocol})
    return f"{cell.model}-seed{cell.seed}-{key}.json"


def _base(facts: Facts, prepared: Prepared) -> dict[str, Any]:
    assumed = facts.assumptions
    return {
        "dataset": asdict(prepared.dataset),
        "weights": prepared.weights_key,
        "machine": facts.machine.fingerprint,
        **({} if assumed is None else {"assumptions": asdict(assumed)}),
    }


def _hash(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
