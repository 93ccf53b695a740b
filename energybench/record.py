"""What one cell leaves behind: `RunRecord` and its parts, in JSON and out of it.

Accuracies are fractions (0..1), energies joules, durations seconds; a name carries its unit.
"Not available" is None with a reason beside it, never 0.
"""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from energybench.schema import Migrations, read_versioned
from energybench.units import kwh

SCHEMA_VERSION = 3

ROUNDING_PP = 1e-9
"""Percentage points forgiven, so that a drop of exactly the tolerance is within it."""

MIGRATIONS: Migrations = {
    1: lambda data: data | {"schema_version": 2},  # what version 2 adds has defaults
    2: lambda data: _with_words(_with_budget(data)) | {"schema_version": 3},
}


def _with_budget(data: dict[str, Any]) -> dict[str, Any]:
    """Until version 3 every method stopped early."""
    protocol = data.get("protocol")
    if not isinstance(protocol, dict):
        return data  # which is refused with the field's name
    return data | {"protocol": protocol | {"budget": "early-stopping"}}


def _with_words(data: dict[str, Any]) -> dict[str, Any]:
    """Until version 3 predictions were a list."""
    test = data.get("test")
    if not isinstance(test, dict) or not isinstance(test.get("predictions"), list):
        return data
    return data | {"test": test | {"predictions": " ".join(map(str, test["predictions"]))}}


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
class DeviceState:
    """A device at one moment; None where it does not say."""

    temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    """Why its clocks are lowered now: `power_cap`, `thermal`, `power_brake` and the like."""
    throttled_s: float | None = None
    """Seconds that power or temperature held the clocks down, since the driver was loaded."""
    other_processes: int | None = None
    """Compute processes on it that are not ours."""


@dataclass(frozen=True)
class EnergyReading:
    """Energy of one window."""

    duration_s: float
    joules: dict[str, float | None]
    """Gross joules per domain (`gpu:<id>`, `cpu:<package>`, `dram:<package>`)."""
    sources: dict[str, str]
    """Domain -> how it was read: `nvml_counter`, `nvml_power`, `rapl`, `codecarbon_estimate`..."""
    flags: list[str] = field(default_factory=list)
    """`short_window`: shorter than the meter resolves. `throttled`: power or temperature held a
    device's clocks down. `contaminated`: other processes computed on a device."""
    unavailable: dict[str, str] = field(default_factory=dict)
    """Meter or domain -> why it gave no reading."""
    net_joules: dict[str, float | None] = field(default_factory=dict)
    """Joules per domain less its idle power x duration; empty where idle was not measured."""
    devices: dict[str, dict[str, DeviceState]] = field(default_factory=dict)
    """Domain -> its state at `start` and `end`, for devices that say and windows that ask."""
    background_cpu_s: float = 0.0
    """CPU seconds that threads of our meters used within the window; CodeCarbon's are its own."""

    @cached_property
    def it_joules(self) -> float | None:
        """Sum over the domains; None if there is none, or one of them could not be read."""
        known = [value for value in self.joules.values() if value is not None]
        return sum(known) if known and len(known) == len(self.joules) else None

    @property
    def net_it_joules(self) -> float | None:
        """`it_joules` less the machine's idle energy; None where either is not known."""
        known = [value for value in self.net_joules.values() if value is not None]
        return sum(known) if known and len(known) == len(self.joules) else None

    @property
    def watts(self) -> float | None:
        """Mean IT power over the window."""
        joules = self.it_joules
        return None if joules is None or self.duration_s <= 0 else joules / self.duration_s


@dataclass(frozen=True)
class PowerTrace:
    """Mean power over a measurement, sample by sample."""

    period_s: float
    time_s: list[float]
    """End of each sample, seconds since the trace began."""
    watts: dict[str, list[float | None]]
    """Domain -> mean watts of each sample; None where it could not be read."""
    marks: dict[str, float] = field(default_factory=dict)
    """Phase -> its start, seconds since the trace began."""


@dataclass(frozen=True)
class CarbonIntensity:
    """What a kilowatt-hour from the grid emits."""

    country: str
    """ISO 3166-1 alpha-3."""
    kg_per_kwh: float
    """kg CO2 equivalent."""
    source: str


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
    """Largest CUDA allocation of the fine-tuning so far; None on CPU."""


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
    """`name`, `fingerprint`, `classes`, `image_size`, and images per split in `splits`."""
    weights: dict[str, Any]
    """`source`, `key`, `head_replaced`, and for digits the pretrained `test_accuracy`."""
    protocol: dict[str, Any]
    """`FinetuneConfig` (`budget` among it) and what else shapes the numbers: device, precision,
    tolerance_pp, pue."""
    machine: dict[str, Any]
    status: str = "ok"
    error: str | None = None
    phases: dict[str, EnergyReading] = field(default_factory=dict)
    """`load` (with the training of a new head, if any), `compress`, `calibrate` where there was an
    arithmetic to choose, `finetune`, `evaluate`."""
    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: int | None = None
    parameters: int | None = None
    """Trainable parameters while fine-tuning, after any structural change."""
    compression: CompressionReport | None = None
    precision: str | None = None
    """Arithmetic of fine-tuning and evaluation; the protocol's unless the method chose another."""
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
    """Those of the fine-tuning's energy."""
    idle_watts: dict[str, float] = field(default_factory=dict)
    """Domain -> power of the idle machine before the run; empty where not measured."""
    carbon: CarbonIntensity | None = None
    """Of the country that was named; None without one."""
    trace: PowerTrace | None = None
    """Power over the cell, if it was asked for."""
    schema_version: int = SCHEMA_VERSION

    @property
    def pue(self) -> float:
        """Power usage effectiveness that turns IT energy into facility energy."""
        return float(self.protocol["pue"])

    @property
    def tolerance_pp(self) -> float:
        """Largest drop allowed, in percentage points."""
        return float(self.protocol["tolerance_pp"])

    @cached_property
    def kwh(self) -> float | None:
        """Facility energy of fine-tuning, kWh: the paper's quantity."""
        return self._facility_kwh("finetune")

    @cached_property
    def kwh_total(self) -> float | None:
        """Facility energy of the compression's own search, calibration and fine-tuning, kWh."""
        calibrate = ("calibrate",) if "calibrate" in self.phases else ()
        return self._facility_kwh("compress", *calibrate, "finetune")

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
        return None if self.drop_pp is None else self.drop_pp <= self.tolerance_pp + ROUNDING_PP

    @cached_property
    def energy_source(self) -> str:
        """The distinct sources of the fine-tuning's energy, joined by "+"; "none" without any."""
        phase = self.phases.get("finetune")
        return "+".join(sorted(set(phase.sources.values()))) if phase and phase.sources else "none"

    def headline(self) -> dict[str, Any]:
        """The flat keys of pytest-benchmark's `extra_info`, for jq and eyes."""
        return {
            "kwh": self.kwh,
            "kwh_total": self.kwh_total,
            "kwh_net": self.kwh_net,
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
    return read_versioned(data, RunRecord, "record", SCHEMA_VERSION, MIGRATIONS)
