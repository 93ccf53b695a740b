"""BoAmps' report of the energy of an AI task: https://github.com/Boavizta/BoAmps, `model/`.

Field names and values are those of its JSON schemas of 2026-04-08 (format 1.1.0). What a run does
not know is left out: publisher, licence, quality. `infraType` is required and not known; it is
"other". The environment is left out where no grid was named.
"""

import json
from collections.abc import Sequence
from typing import Any

from energybench.energy.readings import CpuUse, EnergyReading
from energybench.records.metric import ACCURACY
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.exports.facts import (
    decimal_text,
    energy_sentence,
    fine_tuning,
    hardware,
    it_kwh,
    now,
    one_cell,
    origin,
    report_id,
    version_of,
)

FORMAT_VERSION = "1.1.0"
URI = "https://github.com/Boavizta/BoAmps"
_TYPES = {"image": "image", "token": "token"}
"""Item of a data set -> BoAmps' `dataType`; others are "other"."""


def write(runs: Sequence[Run]) -> str:
    """The report of the only finished cell, as JSON; raises `UsageError` where it has no energy."""
    record = one_cell(runs, "a BoAmps report")
    return json.dumps(report(record), indent=2) + "\n"


def report(record: RunRecord) -> dict[str, Any]:
    """The report of one cell; raises `UsageError` where its energy is not known."""
    reading = fine_tuning(record)
    return {
        "header": {
            "formatVersion": FORMAT_VERSION,
            "formatVersionSpecificationUri": URI,
            "reportId": report_id(record),
            "reportDatetime": now().strftime("%Y-%m-%d %H:%M:%S"),
            "reportStatus": "draft",
        },
        "task": _task(record, reading),
        "measures": [_measure(record, reading)],
        "system": {"os": str(record.machine.get("os"))},
        "software": _known(language="python", version=record.machine.get("python")),
        "infrastructure": {"infraType": "other", "components": _components(record)},
        **_environment(record),
    }


def _task(record: RunRecord, reading: EnergyReading) -> dict[str, Any]:
    accurate = record.metric == ACCURACY and record.value is not None and 0 <= record.value <= 1
    return _known(
        taskStage="finetuning",
        taskFamily=record.dataset.task,
        algorithms=[_algorithm(record)],
        dataset=[
            _known(
                dataUsage="input",
                dataType=_TYPES.get(record.dataset.item, "other"),
                dataQuantity=record.dataset.splits.get("train"),
            )
        ],
        measuredAccuracy=record.value if accurate else None,
        taskDescription=f"{record.model} by the method {record.method}, seed {record.seed}, on "
        f"{record.dataset.name}. {energy_sentence(record, reading)}",
    )


def _algorithm(record: RunRecord) -> dict[str, Any]:
    return _known(
        trainingType="transferLearning",
        algorithmType="neural network",
        foundationModelName=record.model,
        framework="pytorch",
        frameworkVersion=version_of(record, "torch"),
        epochsNumber=record.epoch_count or None,
        optimizer="sgd",
        quantization=record.precision or record.protocol.precision,
    )


def _measure(record: RunRecord, reading: EnergyReading) -> dict[str, Any]:
    spans = record.spans.get(record.main_phase)
    began = spans[0].began_at[:19].replace("T", " ") if spans else None
    return _known(
        measurementMethod=f"energybench, {origin(record)}",
        version=version_of(record, "energybench"),
        cpuTrackingMode=_tracking(reading, "cpu"),
        gpuTrackingMode=_tracking(reading, "gpu"),
        averageUtilizationCpu=_utilization(reading.cpu),
        powerConsumption=float(decimal_text(it_kwh(reading) or 0.0)),
        measurementDuration=reading.duration_s,
        measurementDateTime=began,
    )


def _utilization(cpu: CpuUse | None) -> float | None:
    """The share of all processors' time that any process used, 0 to 1."""
    if cpu is None or not cpu.capacity_s > 0:
        return None
    return min(1.0, max(0.0, cpu.machine_s / cpu.capacity_s))


def _tracking(reading: EnergyReading, kind: str) -> str | None:
    """The sources of the domains of one kind, an estimate called one."""
    names = {
        source + (" (estimate)" if reading.kind(domain) == "estimated" else "")
        for domain, source in reading.sources.items()
        if domain.partition(":")[0] == kind
    }
    return "+".join(sorted(names)) or None


def _components(record: RunRecord) -> list[dict[str, Any]]:
    return [
        _known(componentName=name, componentType=kind, nbComponent=count, memorySize=memory)
        for name, kind, count, memory in hardware(record)
    ]


def _environment(record: RunRecord) -> dict[str, Any]:
    if record.carbon is None:
        return {}
    factor = record.kg_per_kwh
    grams = None if factor is None else float(decimal_text(1000.0 * factor))
    known = _known(country=record.carbon.country, powerSourceCarbonIntensity=grams)
    return {"environment": known}


def _known(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
