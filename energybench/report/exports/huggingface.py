"""`co2_eq_emissions` of a Hugging Face model card, as YAML front matter.

Its keys are those of https://huggingface.co/docs/hub/model-cards-co2 (`docs/hub/model-cards-co2.md`
of huggingface/hub-docs): `emissions` in grams, `source`, `training_type`, `geographical_location`,
`hardware_used`.
"""

import json
from collections.abc import Sequence

from energybench.errors import UsageError
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.exports.facts import (
    cell_name,
    decimal_text,
    fine_tuning,
    hardware,
    one_cell,
    origin,
    version_of,
)


def write(runs: Sequence[Run]) -> str:
    """The front matter of the only finished cell.

    Raises `UsageError` where its energy or the intensity of its grid is not known.
    """
    record = one_cell(runs, "a model card")
    grams = _grams(record)
    texts = {
        "source": _source(record),
        "training_type": "fine-tuning",
        "geographical_location": record.carbon.country if record.carbon else "",
        "hardware_used": _hardware(record),
    }
    lines = [f"  {key}: {json.dumps(text)}" for key, text in texts.items()]  # JSON is YAML
    return "\n".join(
        ["---", "co2_eq_emissions:", f"  emissions: {decimal_text(grams)}", *lines, "---", ""]
    )


def _grams(record: RunRecord) -> float:
    """Emissions of the facility energy of fine-tuning, g CO2 equivalent."""
    fine_tuning(record)  # refuses one without energy
    if record.carbon is None:
        raise UsageError(
            f"{cell_name(record)} has no emissions, since its grid is not named; add them with "
            "energybench emissions RUN.json --country or --intensity-file"
        )
    if record.kg_co2e is None:
        mean = record.intensities.get(record.main_phase)
        why = mean.reason if mean else "its intensity is not known"
        raise UsageError(
            f"{cell_name(record)} has no emissions: {why}; name another file to energybench "
            "emissions"
        )
    return 1000.0 * record.kg_co2e


def _source(record: RunRecord) -> str:
    grid = record.carbon.source if record.carbon else ""
    tool = " ".join(filter(None, ("energybench", version_of(record, "energybench"))))
    return f"{tool}; energy of fine-tuning: {origin(record)}; PUE: {record.pue:g}; grid: {grid}"


def _hardware(record: RunRecord) -> str:
    parts = [(name, count) for name, kind, count, _ in hardware(record) if kind != "ram"]
    return ", ".join(f"{count} x {name}" for name, count in parts)
