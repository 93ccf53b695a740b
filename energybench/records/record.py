"""What one cell leaves behind: `RunRecord` and its parts, in JSON and out of it.

Accuracies are fractions (0..1), energies joules, durations seconds; a name carries its unit.
"Not available" is None with a reason beside it, never 0.
"""

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from energybench.energy.carbon import CarbonIntensity
from energybench.energy.readings import EnergyReading, PowerTrace
from energybench.energy.units import kwh
from energybench.errors import UsageError
from energybench.records.migrations import MIGRATIONS
from energybench.records.schema import read_versioned

SCHEMA_VERSION = 4

DATA_BOUND = 0.05
"""Share of the training time from which waiting for data is said of a cell."""
ROUNDING_PP = 1e-9
"""Percentage points forgiven, so that a drop of exactly the tolerance is within it."""


@dataclass(frozen=True)
class CompressionReport:
    """What a compression found and did to one model."""

    method: str
    settings: dict[str, float | int | str]
    """The strongest setting within tolerance, for instance {"bits": 17} or {"fraction": 0.42}."""
    compression_rate: float
    """Share of the model's weight storage that is freed, 0..1 (0 for `no_effect`)."""
    reference_score: float | None
    """Validation accuracy before compressing, 0..1; None if nothing was searched."""
    score: float | None
    """Validation accuracy with `settings` applied, before any fine-tuning."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """Every (setting, validation accuracy) the search evaluated, in the order it did."""
    no_effect: bool = False
    """The search found no setting within the tolerance; the model is as it was."""
    error: dict[str, float] = field(default_factory=dict)
    """Layer -> relative Frobenius error of its weight, |W - W'| / |W|; empty where not computed."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know of the search, for instance that its curve is not monotone."""
    parts: list["CompressionReport"] = field(default_factory=list)
    """One report per part of a composition, in the order applied."""


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of fine-tuning; its seconds and joules include its validation."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    steps: int
    images: int
    duration_s: float
    joules: float | None
    images_per_s: float
    """Training images over the seconds of the epoch's training part."""
    peak_memory_bytes: int | None
    """Largest CUDA allocation of the fine-tuning so far, on any GPU; None on CPU."""
    data_wait_share: float | None = None
    """Share of its training part in which the device waited for images, 0..1; None: not known.

    Of several ranks, that of the one that waited longest."""


@dataclass(frozen=True)
class Layout:
    """Where the ranks of a cell ran; lists are by rank."""

    nodes: list[int]
    """Machine of each rank, numbered from 0; the record's `machine` is number 0."""
    devices: list[str]
    """`cpu`, or the GPU as energies have it: `gpu:<id>`."""
    threads: list[int]
    """PyTorch's on the CPU."""


@dataclass(frozen=True)
class HeldOutTest:
    """The finalized model on the held-out test split."""

    accuracy: float
    correct: int
    total: int
    predictions: str
    """Class index per test image, in the split's order, in words: "7 0 3" (small, fast to read)."""


@dataclass(frozen=True)
class RunRecord:
    """One cell, start to end.

    `status` is "ok", "failed" or "interrupted"; a cell that was cut short keeps what it measured.
    """

    model: str
    method: str
    seed: int
    dataset: dict[str, Any]
    """`name`, `fingerprint`, `classes`, `image_size`, and images per split in `splits`; of image
    folders how they were `served`, and the files that were `skipped`, with the reason."""
    weights: dict[str, Any]
    """`source`, `key`, `head_replaced`, and for digits the pretrained `test_accuracy`."""
    protocol: dict[str, Any]
    """`FinetuneConfig` (`budget` among it) and what else shapes the numbers: device, precision,
    tolerance, pue, world_size (the ranks that share every batch), ranks_per_node ("4+4")."""
    machine: dict[str, Any]
    status: str = "ok"
    error: str | None = None
    phases: dict[str, EnergyReading] = field(default_factory=dict)
    """`load` (with the training of a new head, if any), `compress`, `compile` where that was asked
    for, `calibrate` where there was an arithmetic to choose, `finetune`, `evaluate`."""
    overhead: dict[str, EnergyReading] = field(default_factory=dict)
    """Of a cell that was checkpointed, what no phase has: `checkpoint` (writing them), and where it
    was interrupted `lost` (what was cut short) and `repeated` (what came before fine-tuning)."""
    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: int | None = None
    parameters: int | None = None
    """Trainable parameters while fine-tuning, after any structural change."""
    compression: CompressionReport | None = None
    precision: str | None = None
    """Arithmetic of fine-tuning and evaluation; the protocol's unless the method chose another."""
    memory_format: str | None = None
    """`contiguous` or `channels_last`, in fine-tuning and evaluation."""
    calibration: dict[str, Any] | None = None
    """The steps in each candidate that chose `precision`, as `training.calibrate` has them; None
    where there was nothing to choose."""
    test: HeldOutTest | None = None
    reference_accuracy: float | None = None
    reference_correct: int | None = None
    reference_source: str | None = None
    """`this cell`, `this run` or `cache`."""
    disagreements: int | None = None
    """Test images whose predicted class differs from the reference's."""
    flags: list[str] = field(default_factory=list)
    """Those of the fine-tuning's energy; and `data_bound`: the device waited for images in more
    than `DATA_BOUND` of its training time."""
    idle_watts: dict[str, float] = field(default_factory=dict)
    """Domain -> power of the idle machine before the run; empty where not measured."""
    carbon: CarbonIntensity | None = None
    """Of the country that was named; None without one."""
    trace: PowerTrace | None = None
    """Power over the cell, if it was asked for."""
    layout: Layout | None = None
    """Of a cell that several ranks ran together; None for one process."""
    schema_version: int = SCHEMA_VERSION

    @property
    def pue(self) -> float:
        """Power usage effectiveness that turns IT energy into facility energy."""
        return float(self.protocol["pue"])

    @property
    def tolerance(self) -> float:
        """Largest drop allowed, in percentage points."""
        return float(self.protocol["tolerance"])

    @cached_property
    def kwh(self) -> float | None:
        """Facility energy of fine-tuning, kWh: the paper's quantity."""
        return self._facility_kwh("finetune")

    @cached_property
    def kwh_total(self) -> float | None:
        """Facility energy of fine-tuning and all that prepared it but loading, kWh.

        That is the compression's own search, compiling and calibrating.
        """
        optional = (name for name in ("compile", "calibrate") if name in self.phases)
        return self._facility_kwh("compress", *optional, "finetune")

    @property
    def kwh_overhead(self) -> float | None:
        """Facility energy of checkpoints and interruptions, kWh; 0 without any."""
        joules = [reading.it_joules for reading in self.overhead.values()]
        known = [one for one in joules if one is not None]
        return kwh(sum(known), self.pue) if len(known) == len(joules) else None

    @property
    def kwh_net(self) -> float | None:
        """`kwh` less what the idle machine would have used in that time."""
        reading = self.phases.get("finetune")
        joules = None if reading is None else reading.net_it_joules
        return None if joules is None else kwh(joules, self.pue)

    @property
    def kg_co2e(self) -> float | None:
        """Emissions of `kwh`, kg CO2 equivalent; None where no country was named."""
        if self.kwh is None or self.carbon is None:
            return None
        return self.kwh * self.carbon.kg_per_kwh

    @property
    def data_wait_share(self) -> float | None:
        """Share of all epochs' training time in which the device waited for images, 0..1.

        None where there was no epoch, or one does not say.
        """
        seconds = [epoch.images / epoch.images_per_s for epoch in self.epochs]
        shares = [epoch.data_wait_share for epoch in self.epochs]
        waited = [share * s for share, s in zip(shares, seconds, strict=True) if share is not None]
        return sum(waited) / sum(seconds) if waited and len(waited) == len(seconds) else None

    def _facility_kwh(self, *phases: str) -> float | None:
        readings = [self.phases[name].it_joules for name in phases if name in self.phases]
        known = [joules for joules in readings if joules is not None]
        return kwh(sum(known), self.pue) if len(known) == len(phases) else None

    @property
    def accuracy(self) -> float | None:
        """Test accuracy of the finalized model, 0..1."""
        return self.test.accuracy if self.test else None

    @property
    def drop_pp(self) -> float | None:
        """Reference accuracy minus this cell's, in percentage points."""
        if self.accuracy is None or self.reference_accuracy is None:
            return None
        return 100.0 * (self.reference_accuracy - self.accuracy)

    @property
    def within_tolerance(self) -> bool | None:
        """Whether the drop is at most the tolerance; None when the drop is not known."""
        return None if self.drop_pp is None else self.drop_pp <= self.tolerance + ROUNDING_PP

    @cached_property
    def energy_source(self) -> str:
        """The distinct sources of the fine-tuning's energy, joined by "+"; "none" without any."""
        phase = self.phases.get("finetune")
        return "+".join(sorted(set(phase.sources.values()))) if phase and phase.sources else "none"

    @property
    def estimated(self) -> bool:
        """Whether the fine-tuning's energy is an estimate, in part or in whole."""
        phase = self.phases.get("finetune")
        return phase is not None and phase.estimated

    def headline(self) -> dict[str, Any]:
        """The flat keys of pytest-benchmark's `extra_info`, for jq and eyes."""
        return {
            "kwh": self.kwh,
            "kwh_total": self.kwh_total,
            "kwh_net": self.kwh_net,
            **({"kwh_overhead": self.kwh_overhead} if self.overhead else {}),
            **({} if self.carbon is None else {"kg_co2e": self.kg_co2e}),
            "epochs": len(self.epochs),
            "accuracy": self.accuracy,
            "accuracy_drop_pp": self.drop_pp,
            "within_tolerance": self.within_tolerance,
            "energy_source": self.energy_source,
            "compression_rate": self.compression.compression_rate if self.compression else None,
            "no_effect": self.compression.no_effect if self.compression else None,
            "status": self.status,
        }

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, as `json.dump` takes them."""
        return asdict(self)


def from_json(data: Any) -> RunRecord:
    """The inverse of `RunRecord.to_json`, for this schema version and, by migration, older ones.

    Raises `UsageError` for a record of a newer version or of another shape.
    """
    record = read_versioned(data, RunRecord, "record", SCHEMA_VERSION, MIGRATIONS)
    for name in ("pue", "tolerance"):
        if not _is_finite(record.protocol.get(name)):
            raise UsageError(f"not an energybench record: protocol.{name} is not a finite number")
    return record


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):  # no number, or an integer larger than any float
        return False
