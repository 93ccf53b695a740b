"""SPDX 3.0.1 with the AI profile's `energyConsumption`, as JSON-LD.

The classes are `AIPackage`, `EnergyConsumption` and `EnergyConsumptionDescription` of
https://github.com/spdx/spdx-3-model (`model/AI`, tag 3.0.1), serialized as
https://spdx.org/rdf/3.0.1/spdx-context.jsonld names them. The AI profile also requires the
supplier, the release time, the version and the download location of a package. A run knows none of
them, so the document claims no conformance to that profile; its comment says what to add.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from energybench import __version__
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.exports.facts import (
    cell_name,
    decimal_text,
    energy_sentence,
    finished,
    it_kwh,
    now,
    report_id,
)

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_INFO = "_:creationinfo"
_TO_ADD = (
    "Add suppliedBy, releaseTime, software_packageVersion and software_downloadLocation to each "
    "AIPackage, and ai to profileConformance: a measured run does not know them."
)
_HYPERPARAMETERS = ("learning_rate", "momentum", "weight_decay", "batch_size", "max_epochs")


def write(runs: Sequence[Run]) -> str:
    """A document with a package for each finished cell; one without energy says why.

    Raises `UsageError` without a finished cell.
    """
    packages = [_package(record) for record in finished(runs)]
    agent = f"urn:uuid:{uuid4()}"
    graph = [
        {
            "type": "CreationInfo",
            "@id": _INFO,
            "specVersion": "3.0.1",
            "created": now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "createdBy": [agent],
        },
        {
            "type": "SoftwareAgent",
            "spdxId": agent,
            "creationInfo": _INFO,
            "name": f"energybench {__version__}",
        },
        {
            "type": "SpdxDocument",
            "spdxId": f"urn:uuid:{uuid4()}",
            "creationInfo": _INFO,
            "name": "energy of fine-tuning",
            "comment": _TO_ADD,
            "profileConformance": ["core", "software"],
            "element": [agent, *(package["spdxId"] for package in packages)],
            "rootElement": [package["spdxId"] for package in packages],
        },
        *packages,
    ]
    return json.dumps({"@context": CONTEXT, "@graph": graph}, indent=2) + "\n"


def _package(record: RunRecord) -> dict[str, Any]:
    reading = record.main
    quantity = None if reading is None else it_kwh(reading)
    if reading is None or quantity is None:
        why = "no fine-tuning" if reading is None else reading.why_missing
        energy, training = {}, f"Energy of fine-tuning is not known: {why}."
    else:
        energy, training = _consumption(quantity), energy_sentence(record, reading)
    return {
        "type": "ai_AIPackage",
        "spdxId": f"urn:uuid:{report_id(record)}",
        "creationInfo": _INFO,
        "name": cell_name(record),
        "software_primaryPurpose": "model",
        "ai_domain": [record.dataset.task],
        "ai_typeOfModel": ["neural network", record.model],
        "ai_hyperparameter": _hyperparameters(record),
        **_metric(record),
        "ai_informationAboutTraining": f"{record.model} fine-tuned on {record.dataset.name} by the "
        f"method {record.method}, {record.epoch_count or 0} epochs. {training}",
        **energy,
    }


def _consumption(quantity: float) -> dict[str, Any]:
    described = {
        "type": "ai_EnergyConsumptionDescription",
        "ai_energyQuantity": decimal_text(quantity),
        "ai_energyUnit": "kilowattHour",
    }
    consumed = {"type": "ai_EnergyConsumption", "ai_finetuningEnergyConsumption": [described]}
    return {"ai_energyConsumption": consumed}


def _hyperparameters(record: RunRecord) -> list[dict[str, str]]:
    values = {name: getattr(record.protocol, name) for name in _HYPERPARAMETERS}
    return [_entry(name, f"{value:g}") for name, value in values.items() if value is not None]


def _metric(record: RunRecord) -> dict[str, Any]:
    if record.metric is None or record.value is None:
        return {}
    return {"ai_metric": [_entry(record.metric.name, f"{record.value:.6g}")]}


def _entry(key: str, value: str) -> dict[str, str]:
    return {"type": "DictionaryEntry", "key": key, "value": value}
