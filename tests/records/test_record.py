import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.saved_runs import RMSE, cell, regression

from energybench.energy.carbon import CarbonIntensity
from energybench.energy.readings import EnergyReading
from energybench.errors import UsageError
from energybench.records.flat_keys import flat_keys
from energybench.records.metric import ACCURACY
from energybench.records.record import (
    SCHEMA_VERSION,
    CompressionReport,
    Dataset,
    EpochRecord,
    Placement,
    RunRecord,
    TestResult,
    Weights,
    from_json,
)
from energybench.records.saved import read_run, read_runs
from energybench.report.comparison import compare

GOLDEN = Path(__file__).parent / "golden"
RESULTS = Path(__file__).parents[2] / "results"


def reading(joules: float | None = 360.0) -> EnergyReading:
    return EnergyReading(2.0, {"gpu:0": joules, "cpu:0": 40.0}, {"gpu:0": "nvml_counter"})


def record(**changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "phases": {"compress": reading(200.0), "finetune": reading()},
        "epochs": [EpochRecord(1, 0.5, 0.4, 0.9, 7, 448, 1.0, 50.0, 448.0, None)],
        "best_epoch": 1,
        "compression": CompressionReport("stego", {"bits": 8}, 0.25, 0.9, 0.89, [(8, 0.89)]),
        "test": TestResult(ACCURACY, 0.89, 100, "1 2 3"),
        "reference_value": 0.9,
    }
    return cell("stego", pue=1.5, changes=fields | changes)


def test_json_and_back() -> None:
    original = record()
    again = from_json(json.loads(json.dumps(original.to_json())))
    assert again.to_json() == original.to_json()
    assert again.kwh == original.kwh


def test_headline_keys_and_units() -> None:
    headline = flat_keys(record())
    assert headline["kwh"] == pytest.approx(400 * 1.5 / 3.6e6)
    assert headline["kwh_total"] == pytest.approx(640 * 1.5 / 3.6e6)
    assert headline["accuracy"] == headline["value"] == 0.89
    assert headline["accuracy_drop_pp"] == headline["drop"] == pytest.approx(1.0)
    assert (headline["metric"], headline["drop_unit"]) == ("accuracy", "pp")
    assert headline["within_tolerance"] is True
    assert headline["epochs"] == 1
    assert headline["compression_rate"] == 0.25
    assert headline["energy_source"] == "nvml_counter"


def test_the_drop_is_compared_without_rounding_noise() -> None:
    assert record(reference_value=0.9).within_tolerance is True  # 0.9 - 0.89 > 0.01 in floats
    assert record(reference_value=0.9001).within_tolerance is False
    assert record(reference_value=None).within_tolerance is None


def test_energy_that_was_not_read_is_none_never_zero() -> None:
    nothing = EnergyReading(2.0, {}, {}, unavailable={"nvml": "no GPU in use"})
    assert nothing.it_joules is None
    assert nothing.watts is None
    assert record(phases={"compress": nothing, "finetune": nothing}).kwh is None
    assert record(phases={"compress": nothing, "finetune": reading()}).kwh_total is None
    assert record(phases={}).kwh is None
    half = EnergyReading(2.0, {"gpu:0": None, "cpu:0": 40.0}, {"cpu:0": "rapl"})
    assert half.it_joules is None  # the CPU alone would look like a saving


def test_a_newer_record_is_refused_with_what_to_do() -> None:
    newer = record().to_json() | {"schema_version": SCHEMA_VERSION + 1}
    with pytest.raises(UsageError, match="upgrade energybench"):
        from_json(newer)


@pytest.mark.parametrize("data", [None, [], {}, {"schema_version": "1"}, {"schema_version": 0}])
def test_what_is_not_a_record_is_refused(data: Any) -> None:
    with pytest.raises(UsageError, match="record it again"):
        from_json(data)


def test_a_record_with_a_wrong_field_names_it() -> None:
    broken = record().to_json()
    broken["epochs"][0]["steps"] = "many"
    with pytest.raises(UsageError, match=r"epochs\.0\.steps"):
        from_json(broken)


def golden(version: int) -> list[RunRecord]:
    return read_run(GOLDEN / f"run-v{version}.json")


def test_records_of_the_first_version_still_read() -> None:
    baseline, stego = golden(1)
    assert (baseline.method, stego.method) == ("baseline", "stego")
    assert baseline.schema_version == stego.schema_version == SCHEMA_VERSION
    assert stego.kwh == pytest.approx(4.06e-5, rel=0.02)
    assert stego.drop == pytest.approx(0.5)
    assert (stego.carbon, stego.trace, stego.kwh_net) == (None, None, None)
    assert stego.test is not None
    assert len(stego.test.outcomes.split()) == stego.test.items


def test_records_of_the_second_version_still_read() -> None:
    (prune,) = golden(2)
    assert prune.schema_version == SCHEMA_VERSION
    assert prune.protocol.budget == "early-stopping"
    assert prune.kwh == pytest.approx(1.2207e-4, rel=1e-4)
    assert prune.test is not None
    assert prune.test.outcomes.startswith("1 4 0 1")


def test_records_of_the_third_version_still_read() -> None:
    (lowrank,) = golden(3)
    assert lowrank.schema_version == SCHEMA_VERSION
    assert lowrank.memory_format == "contiguous"
    assert (lowrank.protocol.memory_format, lowrank.protocol.compile) == ("auto", False)
    assert lowrank.protocol.evaluation_batch_size == lowrank.protocol.batch_size == 64
    assert lowrank.data_wait_share is None
    assert lowrank.kwh == pytest.approx(3.85e-5, rel=0.01)


def test_records_of_the_fourth_version_still_read() -> None:
    lowrank, baseline = golden(4)
    assert lowrank.schema_version == SCHEMA_VERSION
    assert lowrank.test is not None
    assert lowrank.metric == ACCURACY
    assert (lowrank.value, lowrank.test.items) == (0.9816666666666667, 600)
    assert lowrank.reference_value == pytest.approx(0.9916666)
    assert lowrank.drop == pytest.approx(1.0)
    assert lowrank.tolerance == 1.0
    assert lowrank.weights == Weights(
        "digits pretraining", "2f0a616ca570efad", False, 0.9916666666666667
    )
    splits = {"pretrain": 450, "train": 450, "validation": 297, "test": 600}
    details = {"classes": 10, "image_size": 32}
    assert lowrank.dataset == Dataset("digits", "d5db998743db62f5", splits=splits, details=details)
    assert [epoch.items for epoch in lowrank.epochs] == [448, 448]
    assert 0.9 < lowrank.epochs[0].validation_metric <= 1.0
    assert lowrank.epochs[0].items_per_s > 0
    assert baseline.placement == Placement([0, 0], ["cpu", "cpu"], [1, 1])
    assert (baseline.protocol.world_size, baseline.protocol.ranks_per_node) == (2, "2")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("**/*.json")), ids=lambda path: path.stem)
def test_every_published_result_reads(path: Path) -> None:
    for record in read_runs([str(path)], need_records=False)[0].records:
        assert record.schema_version == SCHEMA_VERSION
        assert from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_old_record_compares_with_the_same_cell_of_today(version: int) -> None:
    old = golden(version)
    today = [replace(one, schema_version=SCHEMA_VERSION) for one in old]
    today = [from_json(json.loads(json.dumps(one.to_json()))) for one in today]
    found = compare({"old": old, "today": today})
    assert len(found.rows) == len(old)
    moves = "estimate: stego saves"  # how far a saving hangs on its watts, not a mismatch
    assert [note for note in found.notes if moves not in note] == []


def test_a_failed_cell_of_the_fourth_version_that_loaded_nothing_reads() -> None:
    data = json.loads((GOLDEN / "run-v4.json").read_text())["benchmarks"][0]["extra_info"]
    old = data["energybench"] | {"status": "failed", "weights": {}, "test": None, "epochs": []}
    found = from_json(old)
    assert (found.weights, found.test) == (Weights(""), None)


def test_a_metric_whose_lower_values_are_better_there_and_back() -> None:
    worse = regression("stego", rmse=0.7)
    again = from_json(json.loads(json.dumps(worse.to_json())))
    assert again == worse
    assert again.metric == RMSE
    assert again.drop == pytest.approx(0.2)
    assert again.within_tolerance is False
    assert regression("stego", rmse=0.6).within_tolerance is True
    better = regression("stego", rmse=0.3)
    assert better.drop == pytest.approx(-0.2)
    assert better.within_tolerance is True
    headline = flat_keys(worse)
    assert "accuracy" not in headline
    assert "accuracy_drop_pp" not in headline
    assert (headline["metric"], headline["value"], headline["drop_unit"]) == ("rmse", 0.7, "m")
    assert headline["drop"] == pytest.approx(0.2)


def test_a_failed_cell_has_the_keys_of_a_finished_one() -> None:
    nothing = record(test=None, status="failed", error="no memory")
    assert flat_keys(nothing).keys() == flat_keys(record()).keys()
    assert flat_keys(nothing)["metric"] is None


def test_calibration_counts_as_the_methods_own_cost() -> None:
    phases = {"compress": reading(200.0), "calibrate": reading(20.0), "finetune": reading()}
    assert record(phases=phases).kwh_total == pytest.approx((240 + 60 + 400) * 1.5 / 3.6e6)
    compiled = record(phases=phases | {"compile": reading(60.0)})
    assert compiled.kwh_total == pytest.approx((240 + 60 + 100 + 400) * 1.5 / 3.6e6)
    assert compiled.kwh == record().kwh


def test_waiting_is_weighed_by_training_time() -> None:
    one = EpochRecord(1, 0.5, 0.4, 0.9, 7, 448, 1.0, 50.0, 448.0, None, data_wait_share=0.4)
    slow = replace(one, items_per_s=112.0, data_wait_share=0.1)
    assert record(epochs=[one, slow]).data_wait_share == pytest.approx((0.4 + 4 * 0.1) / 5)
    assert record(epochs=[one, replace(one, data_wait_share=None)]).data_wait_share is None
    assert record(epochs=[]).data_wait_share is None


def test_emissions_are_there_only_where_a_country_was_named() -> None:
    assert "kg_co2e" not in flat_keys(record())
    named = record(carbon=CarbonIntensity("FRA", 0.05, "a test"))
    assert flat_keys(named)["kg_co2e"] == pytest.approx(400 * 1.5 / 3.6e6 * 0.05)
    again = from_json(json.loads(json.dumps(named.to_json())))
    assert again.carbon == named.carbon


def test_image_folders_were_decoded_as_they_were_read_until_version_4() -> None:
    file = json.loads((GOLDEN / "run-v3.json").read_text())
    old = file["benchmarks"][0]["extra_info"]["energybench"]
    assert "served" not in from_json(old).dataset.details
    old["dataset"]["name"] = "folder:/photographs"
    assert from_json(old).dataset.details["served"] == "decoded as read"


@pytest.mark.parametrize(
    ("part", "value"),
    [("gpus", 1), ("gpus", {}), ("gpus", ["H100"]), ("gpus", [{"id": []}]), ("versions", [1])],
)
def test_a_machine_of_another_shape_is_refused(part: str, value: Any) -> None:
    data = record().to_json()
    data["machine"] = {**data["machine"], part: value}
    with pytest.raises(UsageError, match=rf"machine\.{part} is no "):
        from_json(data)
