"""Flat measurements of a cell or of a test: a quantity, a number and labels."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from energybench.energy.units import JOULES_PER_KWH
from energybench.errors import legible
from energybench.records.record import RunRecord

_SUFFIXES = {"J": "_joules", "s": "_seconds", "W": "_watts", "g": "_grams", "1": "_ratio"}
"""Unit as UCUM writes it -> the end of a gauge's name in Prometheus.

It is the mapping of OpenTelemetry's specification, "Prometheus and OpenMetrics Compatibility", so
that a collector gives the names that the file has. A unit in braces has no suffix there.
"""


@dataclass(frozen=True)
class Quantity:
    """One quantity, which is one family of metrics."""

    name: str
    """Name of the metric in OTLP: "energybench.phase.energy"."""
    unit: str
    """Unit as UCUM writes it: "J", "s", "W", "g", "1" for a share from 0 to 1, "{epoch}"."""
    help: str

    @property
    def family(self) -> str:
        """Name of the family in Prometheus: "energybench_phase_energy_joules"."""
        return self.name.replace(".", "_") + _SUFFIXES.get(self.unit, "")


@dataclass(frozen=True)
class Measurement:
    """A number of one quantity."""

    quantity: Quantity
    value: float
    labels: Mapping[str, str]

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What a later measurement of the same thing shares."""
        return self.quantity.name, tuple(sorted(self.labels.items()))


PHASE_ENERGY = Quantity(
    "energybench.phase.energy", "J", "IT energy of a phase, all devices that were read."
)
PHASE_DURATION = Quantity("energybench.phase.duration", "s", "Duration of a phase.")
POWER = Quantity("energybench.cell.power", "W", "Mean IT power of fine-tuning.")
FACILITY = Quantity(
    "energybench.cell.facility_energy", "J", "Facility energy of fine-tuning: IT energy x PUE."
)
FACILITY_AND_SEARCH = Quantity(
    "energybench.cell.facility_energy_with_search",
    "J",
    "Facility energy of fine-tuning and of the method's own search: IT energy x PUE.",
)
EMISSIONS = Quantity(
    "energybench.cell.emissions", "g", "CO2 equivalent of the facility energy of fine-tuning."
)
EPOCHS = Quantity("energybench.cell.epochs", "{epoch}", "Epochs of fine-tuning.")
SCORE = Quantity(
    "energybench.cell.score", "1", "Metric of the test split, where it is a share from 0 to 1."
)
SCORE_IN_UNITS = Quantity(
    "energybench.cell.score_in_units", "", "Metric of the test split, where it is no share."
)
DROP = Quantity(
    "energybench.cell.drop",
    "1",
    "Drop of such a metric from the baseline's; negative: better.",
)
DROP_IN_UNITS = Quantity(
    "energybench.cell.drop_in_units",
    "",
    "Drop of another metric from the baseline's, in its unit; negative: better.",
)
WITHIN = Quantity(
    "energybench.cell.within_tolerance",
    "",
    "1 for a drop within the tolerance, 0 for another.",
)
DATA_WAIT = Quantity(
    "energybench.cell.data_wait", "1", "Share of the training in which the device waited for data."
)
OK = Quantity("energybench.cell.ok", "", "1 for a cell that ended well, 0 for another.")
FLAG = Quantity(
    "energybench.cell.flag", "", "1 for each flag of a cell, such as contaminated or throttled."
)
CALL_ENERGY = Quantity("energybench.call.energy", "J", "IT energy of one call in a test.")
CALL_DURATION = Quantity("energybench.call.duration", "s", "Duration of one call in a test.")
CALL_POWER = Quantity("energybench.call.power", "W", "Mean IT power of the calls in a test.")

QUANTITIES = (
    *(PHASE_ENERGY, PHASE_DURATION, POWER, FACILITY, FACILITY_AND_SEARCH, EMISSIONS, EPOCHS),
    *(SCORE, SCORE_IN_UNITS, DROP, DROP_IN_UNITS, WITHIN, DATA_WAIT, OK, FLAG),
    *(CALL_ENERGY, CALL_DURATION, CALL_POWER),
)
"""Every quantity, in the order of the manual."""


def quantity_table() -> str:
    """Return all quantities as a Markdown table, for the manual."""
    lines = ["| Prometheus | OTLP | unit | meaning |", "| --- | --- | --- | --- |"]
    for one in QUANTITIES:
        unit = f"`{one.unit}`" if one.unit else ""
        lines.append(f"| `{one.family}` | `{one.name}` | {unit} | {one.help} |")
    return "\n".join(lines)


def of_record(record: RunRecord) -> list[Measurement]:
    """Return the measurements of a cell; what is not known has none.

    Labels are model, method, seed, device (the one that was trained on), source (of the energy),
    dataset, tolerance and budget; phases, flags and scores have one more.
    """
    given = {
        "model": record.model,
        "method": record.method,
        "seed": str(record.seed),
        "device": record.protocol.device_name or record.protocol.device,
        "source": record.energy_source,
        "dataset": record.dataset.name,
        "tolerance": f"{record.tolerance:g}",
        "budget": record.protocol.budget,
    }
    labels = {name: text or "" for name, text in given.items()}
    found = [
        *_of_phases(record, labels),
        *_of_metric(record, labels),
        _measurement(FACILITY, _times(record.kwh, JOULES_PER_KWH), labels),
        _measurement(FACILITY_AND_SEARCH, _times(record.kwh_total, JOULES_PER_KWH), labels),
        _measurement(EMISSIONS, _times(record.kg_co2e, 1e3), labels),
        _measurement(EPOCHS, record.epoch_count, labels),
        _measurement(DATA_WAIT, record.data_wait_share, labels),
        _measurement(OK, record.status == "ok", labels),
        *(_measurement(FLAG, 1, labels | {"flag": flag}) for flag in record.flags),
    ]
    return [one for one in found if one is not None]


def of_call(
    test: str, joules: float | None, seconds: float | None, watts: float | None, source: str
) -> list[Measurement]:
    """Return the measurements of one call in a test; `test` is its full name.

    `joules` and `seconds` are of one call. `source` is the name of the energy's source, several
    joined by "+". What is None has no measurement.
    """
    labels = {"test": test, "source": source}
    given = ((CALL_ENERGY, joules), (CALL_DURATION, seconds), (CALL_POWER, watts))
    found = [_measurement(quantity, value, labels) for quantity, value in given]
    return [one for one in found if one is not None]


def _of_phases(record: RunRecord, labels: Mapping[str, str]) -> Iterator[Measurement | None]:
    for phase, reading in record.phases.items():
        own = {**labels, "source": reading.source, "phase": phase}
        yield _measurement(PHASE_ENERGY, reading.it_joules, own)
        yield _measurement(PHASE_DURATION, reading.duration_s, own)
        if phase == record.main_phase:
            yield _measurement(POWER, reading.watts, labels)


def _of_metric(record: RunRecord, labels: Mapping[str, str]) -> Iterator[Measurement | None]:
    metric, drop = record.metric, record.drop
    if metric is None:
        return
    own = {**labels, "metric": metric.name}
    if metric.is_share:
        yield _measurement(SCORE, record.value, own)
        yield _measurement(DROP, None if drop is None else drop / metric.scale, own)
    else:
        yield _measurement(SCORE_IN_UNITS, record.value, own)
        yield _measurement(DROP_IN_UNITS, drop, own | {"unit": metric.unit})
    yield _measurement(WITHIN, record.within_tolerance, own)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _measurement(
    quantity: Quantity, value: float | None, labels: Mapping[str, str]
) -> Measurement | None:
    """Return the measurement, or None where the value is not known or not finite."""
    if value is None or not math.isfinite(value):
        return None
    texts = {name: legible(text) for name, text in labels.items()}
    return Measurement(quantity, float(value), texts)
