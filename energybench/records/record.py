"""The record of one cell, `RunRecord`; long, since one class has all that follows from its fields.

A script that measures itself has such a record, too, without what it does not say of itself.

Energies are joules, durations seconds, accuracies fractions (0..1); a name carries its unit.
"Not available" is None with a reason beside it, never 0.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from energybench.energy.assumptions import Assumptions
from energybench.energy.carbon import CarbonIntensity, MeanIntensity
from energybench.energy.readings import EnergyReading, PowerTrace
from energybench.energy.spans import Span
from energybench.energy.units import kwh
from energybench.records.attempt import Attempt
from energybench.records.bounds import check_record
from energybench.records.compression_report import CompressionReport
from energybench.records.epoch import EpochRecord
from energybench.records.forecast import Forecast
from energybench.records.inputs import Dataset, Weights
from energybench.records.metric import ACCURACY, Metric
from energybench.records.migrations import MIGRATIONS
from energybench.records.paired import PairedDrop, paired_drop
from energybench.records.placement import Placement
from energybench.records.protocol import Protocol
from energybench.records.schema import read_versioned
from energybench.records.script import WHOLE, Script
from energybench.records.start import Evaluation, Start
from energybench.records.target import Target
from energybench.records.test_result import TestResult

__all__ = [
    "DATA_BOUND",
    "SCHEMA_VERSION",
    "Assumptions",
    "Attempt",
    "CompressionReport",
    "Dataset",
    "EpochRecord",
    "Evaluation",
    "Forecast",
    "Placement",
    "Protocol",
    "RunRecord",
    "Script",
    "Start",
    "Target",
    "TestResult",
    "Weights",
    "from_json",
]

SCHEMA_VERSION = 8

DATA_BOUND = 0.05
"""A cell that waited for data in a larger share of its training time is flagged `data_bound`."""


@dataclass(frozen=True)
class RunRecord:
    """One cell, or one run of a script, start to end.

    `status` is "ok", "failed" or "interrupted"; a cell that was cut short keeps its measurements.
    """

    model: str
    method: str
    seed: int
    dataset: Dataset
    weights: Weights
    protocol: Protocol
    machine: dict[str, Any]
    """`energy.machine.Machine` as JSON, of the first machine."""
    status: str = "ok"
    error: str | None = None
    """The reason in one line where `status` is not "ok"; None elsewhere."""
    phases: dict[str, EnergyReading] = field(default_factory=dict)
    """`load` (with the training of a new head, if any), `compress`, `compile` where that was asked
    for, `calibrate` where there was an arithmetic to choose, `finetune`, `evaluate`. Of a script:
    `run`, which is all of it, and its own within that: "train", and "train/batch" within "train".
    """
    overhead: dict[str, EnergyReading] = field(default_factory=dict)
    """Energy outside the phases of a cell with checkpoints: `checkpoint` (writing them), and after
    an interruption `lost` (what was cut short) and `repeated` (what precedes fine-tuning)."""
    start: Start | None = None
    """Epoch 0: the network before its first training step; None where it never came so far."""
    epochs: list[EpochRecord] = field(default_factory=list)
    """Epochs of fine-tuning; those of a script are in `script`."""
    best_epoch: int | None = None
    """Number of the epoch whose weights are the result."""
    parameters: int | None = None
    """Trainable parameters while fine-tuning, after any structural change."""
    compression: CompressionReport | None = None
    precision: str | None = None
    """Arithmetic of fine-tuning and evaluation; the protocol's unless the method chose another."""
    memory_format: str | None = None
    """`contiguous` or `channels_last`, in fine-tuning and evaluation."""
    calibration: dict[str, Any] | None = None
    """The timed steps that chose `precision`, as `training.calibrate` has them; None where there
    was nothing to choose."""
    test: TestResult | None = None
    target: Target | None = None
    """When the validation metric was first within the tolerance of the baseline's best; None
    without a baseline."""
    reference_value: float | None = None
    """The metric of the reference on the same test split."""
    reference_source: str | None = None
    """`this cell`, `this run`, `journal` or `cache`."""
    reference_id: str | None = None
    """The reference's `id`; None without a reference, and in records before schema 7."""
    disagreements: int | None = None
    """Test items whose outcome differs from the reference's."""
    lost: int | None = None
    """Test items that the reference has right and this cell wrong; None where not known."""
    gained: int | None = None
    """Test items that the reference has wrong and this cell right; None where not known."""
    flags: list[str] = field(default_factory=list)
    """Flags of the fine-tuning's energy, and `data_bound`: the device waited for data in more than
    `DATA_BOUND` of the training time. `contaminated` and `uneven` also if an epoch alone is."""
    idle_watts: dict[str, float] = field(default_factory=dict)
    """Domain -> power of the idle machine before the run; empty where not measured, and where the
    machine was not idle: then each reading has the reason in `unavailable`, as `idle power`."""
    assumptions: Assumptions | None = None
    """The watts behind estimated energies; None where nothing is estimated, or not known."""
    attempts: list[Attempt] = field(default_factory=list)
    """Earlier attempts that a disturbance spoilt, first to last."""
    spans: dict[str, list[Span]] = field(default_factory=dict)
    """Phase -> its windows, as they followed each other; empty in records before schema 8."""
    carbon: CarbonIntensity | None = None
    """Emissions per kWh of the grid that was named; None without one."""
    intensities: dict[str, MeanIntensity] = field(default_factory=dict)
    """Phase -> emissions per kWh over its windows, where `carbon` follows the hours."""
    embodied_g_per_hour: float | None = None
    """Grams of CO2 equivalent from making the machines, per hour of use, as declared."""
    trace: PowerTrace | None = None
    """Power over the cell, if it was asked for."""
    placement: Placement | None = None
    """Where several ranks ran the cell together; None for one process."""
    script: Script | None = None
    """What a script says of itself; None of a cell."""
    forecast: Forecast | None = None
    """What `energybench plan` expected of the cell; None where no plan was given."""
    schema_version: int = SCHEMA_VERSION

    @cached_property
    def id(self) -> str | None:
        """A name of this measurement that no other has; None before a phase has ended.

        It stays the same on disk, and when the cell is compared with its baseline later.
        """
        if not self.phases:
            return None
        windows = {
            name: [float(one.duration_s), *(float(value or 0.0) for value in one.joules.values())]
            for name, one in self.phases.items()
        }
        seconds = [float(epoch.duration_s) for epoch in self.epochs]
        parts = [self.model, self.method, self.seed, windows, seconds]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def pue(self) -> float:
        """Power usage effectiveness that turns IT energy into facility energy."""
        return self.protocol.pue

    @property
    def tolerance(self) -> float:
        """Largest drop allowed, in the unit of the metric; infinite where nothing limits it."""
        return math.inf if self.protocol.tolerance is None else self.protocol.tolerance

    @property
    def main_phase(self) -> str:
        """The phase whose energy is the record's: `finetune`, or `run` of a script."""
        return "finetune" if self.script is None else WHOLE

    @property
    def main(self) -> EnergyReading | None:
        """The window of `main_phase`; None where that phase did not begin."""
        return self.phases.get(self.main_phase)

    @property
    def epoch_count(self) -> int | None:
        """The number of epochs of a cell, or of a script; None where that logged none."""
        return len(self.epochs) if self.script is None else len(self.script.epochs) or None

    @cached_property
    def kwh(self) -> float | None:
        """Facility energy of fine-tuning, kWh: the paper's quantity; of a script that of all."""
        return self._facility_kwh(self.main_phase)

    @cached_property
    def kwh_total(self) -> float | None:
        """Facility energy of fine-tuning and of all its preparation except loading, kWh.

        The preparation is the compression's own search, compiling and calibrating. A script has
        none that is known, so that this is `kwh`.
        """
        if self.script is not None:
            return self.kwh
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
        reading = self.main
        joules = None if reading is None else reading.net_it_joules
        return None if joules is None else kwh(joules, self.pue)

    @property
    def kwh_to_target(self) -> float | None:
        """Facility energy until the target was reached, kWh; None if not reached or not known."""
        joules = None if self.target is None else self.target.joules
        return None if joules is None else kwh(joules, self.pue)

    @property
    def cpu_s(self) -> float | None:
        """CPU seconds of the measured processes in fine-tuning; None where not known."""
        reading = self.main
        return None if reading is None or reading.cpu is None else reading.cpu.own_s

    @property
    def items_per_s(self) -> float | None:
        """Training items per second over all epochs' training parts; None without an epoch."""
        seconds = sum(epoch.items / epoch.items_per_s for epoch in self.epochs)
        return sum(epoch.items for epoch in self.epochs) / seconds if seconds else None

    @property
    def joules_per_1000_items(self) -> float | None:
        """IT energy of fine-tuning, validation included, per 1,000 training items, or None."""
        reading = self.main
        items = sum(epoch.items for epoch in self.epochs)
        if reading is None or reading.it_joules is None or not items:
            return None
        return 1000.0 * reading.it_joules / items

    @property
    def perplexity(self) -> float | None:
        """Exponential of the test's loss per token; None where items are no tokens, or no loss."""
        loss = self.test.loss if self.test else None
        if self.dataset.item != "token" or loss is None:
            return None
        return math.exp(min(loss, 700.0))  # beyond it no float holds the result

    @property
    def kg_co2e(self) -> float | None:
        """Emissions of `kwh`, kg CO2 equivalent; None where no grid was named or an hour lacks."""
        factor = self.kg_per_kwh
        return None if self.kwh is None or factor is None else self.kwh * factor

    @property
    def kg_per_kwh(self) -> float | None:
        """Emissions of a kilowatt-hour while it was fine-tuned, kg CO2 equivalent, or None."""
        if self.carbon is None or self.carbon.kg_per_kwh is not None:
            return None if self.carbon is None else self.carbon.kg_per_kwh
        mean = self.intensities.get(self.main_phase)
        return None if mean is None else mean.kg_per_kwh

    @property
    def kg_co2e_embodied(self) -> float | None:
        """The share of fine-tuning in making the machines, kg CO2 equivalent; None: not declared.

        It is no part of `kg_co2e`.
        """
        reading = self.main
        if reading is None or self.embodied_g_per_hour is None:
            return None
        return self.embodied_g_per_hour / 1000.0 * reading.duration_s / 3600.0

    @property
    def data_wait_share(self) -> float | None:
        """Share of all epochs' training time in which the device waited for data, 0..1.

        None where there was no epoch, or one does not say.
        """
        seconds = [epoch.items / epoch.items_per_s for epoch in self.epochs]
        shares = [epoch.data_wait_share for epoch in self.epochs]
        waited = [share * s for share, s in zip(shares, seconds, strict=True) if share is not None]
        return sum(waited) / sum(seconds) if waited and len(waited) == len(seconds) else None

    def _facility_kwh(self, *phases: str) -> float | None:
        readings = [self.phases[name].it_joules for name in phases if name in self.phases]
        known = [joules for joules in readings if joules is not None]
        return kwh(sum(known), self.pue) if len(known) == len(phases) else None

    @property
    def metric(self) -> Metric | None:
        """The metric of the test, or of a script; None where neither was judged."""
        if self.script is not None:
            return self.script.metric
        return self.test.metric if self.test else None

    @property
    def value(self) -> float | None:
        """The metric of the finalized model on the test split; of a script the last one logged."""
        if self.script is not None:
            return self.script.value
        return self.test.value if self.test else None

    @property
    def drop(self) -> float | None:
        """The test's drop from the reference, in the metric's unit; negative where it is better."""
        if self.test is None or self.reference_value is None:
            return None
        return self.test.metric.drop(self.reference_value, self.test.value)

    @property
    def paired_drop(self) -> PairedDrop | None:
        """The drop of an accuracy with its interval and p-value, in the metric's unit.

        None for another metric, for the reference itself, and where single items are not known.
        """
        if self.test is None or self.metric != ACCURACY or self.reference_source == "this cell":
            return None
        if self.lost is None or self.gained is None or not self._counts_items:
            return None
        shares, scale = paired_drop(self.lost, self.gained, self.test.items), ACCURACY.scale
        return PairedDrop(scale * shares.value, scale * shares.low, scale * shares.high, shares.p)

    @property
    def _counts_items(self) -> bool:
        """Whether `lost` and `gained` are possible: a file may hold any numbers."""
        lost, gained = self.lost or 0, self.gained or 0
        items = self.test.items if self.test else 0
        return items > 0 and min(lost, gained, items - lost - gained) >= 0

    @property
    def within_tolerance(self) -> bool | None:
        """Whether the drop is at most the tolerance; None when the drop is not known."""
        if self.test is None or self.reference_value is None:
            return None
        return self.test.metric.is_within(self.reference_value, self.test.value, self.tolerance)

    @cached_property
    def energy_source(self) -> str:
        """The distinct sources of the energy of `main`, joined by "+"; "none" without any."""
        return "none" if self.main is None else self.main.source

    @property
    def estimated(self) -> bool:
        """Whether the energy of `main` is an estimate, in part or in whole."""
        return self.main is not None and self.main.estimated

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, as `json.dump` takes them."""
        return asdict(self)


def from_json(data: Any) -> RunRecord:
    """The inverse of `RunRecord.to_json`, for this schema version and, by migration, older ones.

    Raises `UsageError` for another shape or an impossible number, and its subclass
    `NewerSchemaError` for a newer version.
    """
    record = read_versioned(data, RunRecord, "record", SCHEMA_VERSION, MIGRATIONS)
    check_record(record)
    return record
