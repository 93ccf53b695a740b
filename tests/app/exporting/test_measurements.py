"""Flat measurements of cells and calls."""

import math

import pytest
from support.saved_runs import cell, failed, regression

from energybench.app.exporting.measurements import (
    DROP,
    DROP_IN_UNITS,
    FACILITY,
    FLAG,
    OK,
    PHASE_DURATION,
    PHASE_ENERGY,
    QUANTITIES,
    SCORE,
    SCORE_IN_UNITS,
    WITHIN,
    Measurement,
    Quantity,
    of_call,
    of_record,
    quantity_table,
)

LABELS = {
    "model": "resnet18",
    "method": "prune",
    "seed": "3",
    "device": "a processor",
    "source": "rapl",
    "dataset": "digits",
    "tolerance": "1",
    "budget": "early-stopping",
}


def found(quantity: Quantity, measurements: list[Measurement]) -> list[Measurement]:
    return [one for one in measurements if one.quantity == quantity]


def test_a_cell_is_joules_seconds_and_shares_with_its_labels() -> None:
    record = cell("prune", 3, 1000.0, seconds=20.0, correct=97, pue=1.5)
    measured = of_record(record)
    (facility,) = found(FACILITY, measured)
    assert facility.value == pytest.approx(1500.0)
    assert facility.labels == LABELS
    energy = {one.labels["phase"]: one.value for one in found(PHASE_ENERGY, measured)}
    assert energy == {"compress": 0.0, "finetune": 1000.0}
    seconds = {one.labels["phase"]: one.value for one in found(PHASE_DURATION, measured)}
    assert seconds == {"compress": 1.0, "finetune": 20.0}
    (score,) = found(SCORE, measured)
    assert (score.value, score.labels["metric"]) == (0.97, "accuracy")
    (drop,) = found(DROP, measured)
    assert drop.value == pytest.approx(0.01)
    (within,) = found(WITHIN, measured)
    assert within.value == 1.0


def test_what_is_not_known_is_absent_and_never_zero() -> None:
    measured = of_record(cell(joules=None))
    assert not found(FACILITY, measured)
    assert [one.labels["phase"] for one in found(PHASE_ENERGY, measured)] == ["compress"]
    assert len(found(PHASE_DURATION, measured)) == 2
    assert not found(PHASE_ENERGY, of_record(cell(joules=math.inf, search_joules=math.nan)))


def test_a_failed_cell_says_that_it_failed() -> None:
    (ok,) = found(OK, of_record(failed("prune")))
    assert ok.value == 0.0
    assert not found(SCORE, of_record(failed("prune")))


def test_flags_have_a_measurement_each() -> None:
    record = cell(changes={"flags": ["contaminated", "uneven"]})
    assert {one.labels["flag"] for one in found(FLAG, of_record(record))} == {
        "contaminated",
        "uneven",
    }


def test_a_metric_that_is_no_share_keeps_its_unit() -> None:
    measured = of_record(regression("prune", rmse=0.55))
    (score,) = found(SCORE_IN_UNITS, measured)
    assert score.value == pytest.approx(0.55)
    (drop,) = found(DROP_IN_UNITS, measured)
    assert drop.value == pytest.approx(0.05)
    assert drop.labels["unit"] == "m"
    assert not found(SCORE, measured)


def test_cells_that_differ_in_tolerance_or_budget_are_two() -> None:
    keys = {
        one.key
        for record in (cell(), cell(tolerance=2.0), cell(budget="equal"))
        for one in found(FACILITY, of_record(record))
    }
    assert len(keys) == 3


def test_a_call_is_flat_too() -> None:
    measured = of_call("test_a.py::test_b", 0.5, 0.1, None, "rapl")
    assert [(one.quantity.family, one.value) for one in measured] == [
        ("energybench_call_energy_joules", 0.5),
        ("energybench_call_duration_seconds", 0.1),
    ]
    assert measured[0].labels == {"test": "test_a.py::test_b", "source": "rapl"}


def test_the_manual_has_the_table_of_quantities(pytestconfig: pytest.Config) -> None:
    text = (pytestconfig.rootpath / "docs" / "dashboards.md").read_text()
    table = text.partition("<!-- quantities -->")[2].partition("<!-- /quantities -->")[0]
    assert table.strip() == quantity_table(), "paste what quantity_table() returns there"


def test_each_family_has_one_quantity_and_a_base_unit() -> None:
    families = [one.family for one in QUANTITIES]
    assert len(set(families)) == len({one.name for one in QUANTITIES}) == len(QUANTITIES)
    ends = {one.family.rpartition("_")[2] for one in QUANTITIES if one.unit in "JsWg1" and one.unit}
    assert ends == {"joules", "seconds", "watts", "grams", "ratio"}
