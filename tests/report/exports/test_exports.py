import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4
from support.saved_runs import RMSE, cell, estimated, regression

from energybench.energy.carbon import CarbonIntensity, MeanIntensity
from energybench.energy.readings import CpuUse, EnergyReading
from energybench.energy.spans import Span
from energybench.errors import UsageError
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.exports import FORMATS, write
from energybench.report.exports.facts import decimal_text, hardware, only_cell, origin

SCHEMAS = Path(__file__).with_name("schemas")
FRANCE = CarbonIntensity("FRA", 0.05, "a test")


def run(*records: RunRecord) -> list[Run]:
    return [Run("run", Path("run.json"), records)]


def exported(name: str, *records: RunRecord) -> str:
    return write(name, run(*records))


def schema(path: str) -> Any:
    return json.loads((SCHEMAS / path).read_text(encoding="utf-8"))


@cache
def boamps_schema() -> Draft4Validator:
    parts = [schema(f"boamps/{path.name}") for path in (SCHEMAS / "boamps").glob("*.json")]
    found = [
        (one["id"], Resource.from_contents(one, default_specification=DRAFT4)) for one in parts
    ]
    main = schema("boamps/report_schema.json")
    return Draft4Validator(main, registry=Registry().with_resources(found))


@cache
def spdx_schema() -> Draft202012Validator:
    return Draft202012Validator(schema("spdx/schema.json"))


def boamps(record: RunRecord) -> dict[str, Any]:
    """The report, which its own schema accepts."""
    found: dict[str, Any] = json.loads(exported("boamps", record))
    assert [error.message for error in boamps_schema().iter_errors(found)] == []
    return found


def spdx(*records: RunRecord) -> list[dict[str, Any]]:
    """The packages of the document, which its own schema accepts."""
    found = json.loads(exported("spdx", *records))
    assert [error.message for error in spdx_schema().iter_errors(found)] == []
    return [one for one in found["@graph"] if one["type"] == "ai_AIPackage"]


GPU = {"id": "0a1b", "name": "NVIDIA H100", "power_limit_w": 700, "memory_gib": 80}
BUSY = CpuUse(own_s=10.0, machine_s=15.0, steal_s=0.0, capacity_s=20.0)


def on_gpus() -> RunRecord:
    """A cell on one of two GPUs; 360 kJ, which are 0.1 kWh."""
    joules: dict[str, float | None] = {"gpu:0a1b": 300e3, "cpu:0": 50e3, "cpu:1": 10e3}
    sources = {"gpu:0a1b": "nvml_counter", "cpu:0": "rapl", "cpu:1": "rapl"}
    machine = {
        "cpu": "AMD EPYC",
        "ram_gib": 64,
        "gpus": [GPU, GPU | {"id": "ffff"}],
        "os": "Linux x86_64",
        "python": "3.12.1",
        "versions": {"torch": "2.10", "energybench": "0.1.0"},
    }
    changes = {
        "phases": {"finetune": EnergyReading(10.0, joules, sources, cpu=BUSY)},
        "spans": {"finetune": [Span("2026-11-28T01:02:03.456+00:00", 10.0, 360e3)]},
        "carbon": FRANCE,
    }
    return cell("stego", machine=machine, changes=changes, pue=1.5, device="cuda")


def test_the_schemas_refuse_what_is_wrong() -> None:
    assert not boamps_schema().is_valid({"task": {}})
    wrong = json.loads(exported("boamps", on_gpus()))
    wrong["infrastructure"]["components"][0]["nbComponent"] = "one"
    wrong["task"]["dataset"][0]["dataType"] = "picture"
    assert len(list(boamps_schema().iter_errors(wrong))) == 2
    document = json.loads(exported("spdx", on_gpus()))
    document["@graph"][-1]["ai_energyUse"] = "much"
    assert not spdx_schema().is_valid(document)


def test_boamps_has_the_energy_as_read_and_the_intensity_of_the_grid() -> None:
    found = boamps(on_gpus())
    assert found["measures"] == [
        {
            "measurementMethod": "energybench, measured by nvml_counter+rapl",
            "version": "0.1.0",
            "cpuTrackingMode": "rapl",
            "gpuTrackingMode": "nvml_counter",
            "averageUtilizationCpu": 0.75,
            "powerConsumption": 0.1,
            "measurementDuration": 10.0,
            "measurementDateTime": "2026-11-28 01:02:03",
        }
    ]
    assert found["environment"] == {"country": "FRA", "powerSourceCarbonIntensity": 50.0}
    assert found["task"]["taskStage"] == "finetuning"
    assert found["task"]["measuredAccuracy"] == 0.98
    assert "with a PUE of 1.5 it is 0.15 kWh" in found["task"]["taskDescription"]
    components = found["infrastructure"]["components"]
    assert [(one["componentName"], one["nbComponent"]) for one in components] == [
        ("NVIDIA H100", 1),
        ("AMD EPYC", 2),
        ("RAM", 1),
    ]
    assert components[0]["memorySize"] == 80


def test_boamps_leaves_out_what_is_not_known() -> None:
    found = boamps(cell())
    assert "environment" not in found
    assert "publisher" not in found["header"]
    assert "measurementDateTime" not in found["measures"][0]
    assert "quality" not in found
    other = boamps(regression())
    assert "measuredAccuracy" not in other["task"], f"{RMSE.name} is no accuracy"
    assert other["task"]["dataset"][0]["dataType"] == "other"
    gap = replace(on_gpus(), carbon=replace(FRANCE, kg_per_kwh=None))
    assert boamps(gap)["environment"] == {"country": "FRA"}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_estimate_is_called_one(name: str) -> None:
    text = exported(name, estimated(changes={"carbon": FRANCE}))
    assert "an estimate" in text
    assert "codecarbon_estimate" in text


def test_an_estimate_of_a_part_is_called_one() -> None:
    joules: dict[str, float | None] = {"gpu:0": 1.0, "cpu:estimate": 1.0}
    sources = {"gpu:0": "nvml_counter", "cpu:estimate": "codecarbon_estimate"}
    mixed = cell(changes={"phases": {"finetune": EnergyReading(1.0, joules, sources)}})
    assert origin(mixed) == "in part an estimate by codecarbon_estimate+nvml_counter"
    assert origin(cell(source="replay")) == "replayed by replay"
    modes = boamps(mixed)["measures"][0]
    assert modes["cpuTrackingMode"] == "codecarbon_estimate (estimate)"
    assert modes["gpuTrackingMode"] == "nvml_counter"


def test_a_model_card_has_grams_by_the_facility_energy() -> None:
    yaml = pytest.importorskip("yaml")
    text = exported("huggingface", on_gpus())
    assert text.startswith("---\nco2_eq_emissions:\n")
    (card, nothing) = yaml.safe_load_all(text)
    assert nothing is None
    found = card["co2_eq_emissions"]
    assert found["emissions"] == pytest.approx(0.15 * 50.0)
    assert found["training_type"] == "fine-tuning"
    assert found["geographical_location"] == "FRA"
    assert found["hardware_used"] == "1 x NVIDIA H100, 2 x AMD EPYC"
    assert found["source"] == (
        "energybench 0.1.0; energy of fine-tuning: measured by nvml_counter+rapl; PUE: 1.5; "
        "grid: a test"
    )
    small = replace(on_gpus(), carbon=replace(FRANCE, kg_per_kwh=1e-9))
    tiny = next(yaml.safe_load_all(exported("huggingface", small)))["co2_eq_emissions"]
    assert tiny["emissions"] == pytest.approx(1.5e-7), "a number, whatever its size"


def test_the_hub_reads_the_model_card(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = tmp_path / "README.md"
    name = 'a "model": {x}\n---\n# no'
    card.write_text(exported("huggingface", replace(on_gpus(), machine={"cpu": name})))
    found = hub.metadata_load(card)["co2_eq_emissions"]
    assert found["emissions"] == pytest.approx(7.5)
    assert found["hardware_used"].endswith(name)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "has no emissions, since its grid is not named; add them with energybench emissions"),
        (
            {
                "carbon": CarbonIntensity("FR", None, "a file"),
                "intensities": {"finetune": MeanIntensity(None, "a gap at noon")},
            },
            "has no emissions: a gap at noon; name another file",
        ),
    ],
)
def test_a_model_card_without_an_intensity_is_refused(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        exported("huggingface", cell(changes=changes))


@pytest.mark.parametrize("name", ["boamps", "huggingface"])
def test_what_cannot_be_told_of_a_cell_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"has no energy \(cpu:0: not read\)"):
        exported(name, cell(joules=None))
    with pytest.raises(
        UsageError, match="2; choose with --cell: resnet18-baseline-seed0, resnet18"
    ):
        exported(name, cell(), cell("stego"))
    with pytest.raises(UsageError, match="no cell ended well"):
        exported(name, cell(changes={"status": "failed"}))


def test_one_cell_of_several_is_chosen_by_its_name() -> None:
    runs = run(cell(), cell("stego"), cell("stego", seed=1))
    (chosen,) = only_cell(runs, "resnet18-stego-seed1")
    assert [(one.method, one.seed) for one in chosen.records] == [("stego", 1)]
    with pytest.raises(UsageError, match="no cell 'stego'; there are resnet18-baseline-seed0, "):
        only_cell(runs, "stego")


def test_spdx_has_a_package_per_cell_with_its_fine_tuning_energy() -> None:
    one, unread = spdx(on_gpus(), cell(joules=None), cell(changes={"status": "failed"}))
    assert one["name"] == "resnet18-stego-seed0"
    assert one["ai_energyConsumption"]["ai_finetuningEnergyConsumption"] == [
        {
            "type": "ai_EnergyConsumptionDescription",
            "ai_energyQuantity": "0.1",
            "ai_energyUnit": "kilowattHour",
        }
    ]
    assert "measured by nvml_counter+rapl" in one["ai_informationAboutTraining"]
    assert "ai_energyConsumption" not in unread
    assert unread["ai_informationAboutTraining"].endswith("is not known: cpu:0: not read.")


def test_spdx_claims_no_profile_whose_fields_a_run_does_not_know() -> None:
    graph = json.loads(exported("spdx", cell()))["@graph"]
    document = next(one for one in graph if one["type"] == "SpdxDocument")
    assert document["profileConformance"] == ["core", "software"]
    assert "software_downloadLocation" in document["comment"]
    known = {one.get("spdxId") for one in graph}
    assert set(document["element"]) | set(document["rootElement"]) <= known


def test_one_measurement_has_one_id() -> None:
    first, again = (boamps(on_gpus())["header"]["reportId"] for _ in range(2))
    assert first == again
    assert first != boamps(cell())["header"]["reportId"]


def test_a_machine_of_a_foreign_file_may_say_anything() -> None:
    odd = {"gpus": ["?", {"name": 3, "memory_gib": "much"}], "ram_gib": True, "versions": []}
    record = cell(machine=odd, device="cuda")
    assert hardware(record) == [("3", "gpu", 1, None), ("None", "cpu", 1, None)]
    boamps(record)
    spdx(record)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (1e-9, "0.000000001"), (1.5, "1.5"), (1e12, "1000000000000")]
)
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert decimal_text(value) == text
