"""The JSON of benchmark-action/github-action-benchmark's tool `customSmallerIsBetter`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.saved_runs import cell, estimated, failed, regression

from energybench.errors import UsageError
from energybench.records.metric import Metric
from energybench.records.record import RunRecord
from energybench.records.saved import Run
from energybench.report.exports import write


def exported(*records: RunRecord) -> list[dict[str, Any]]:
    text = write("action-benchmark", [Run("run", Path("run.json"), records)])
    found: list[dict[str, Any]] = json.loads(text)
    return found


def named(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in entries}


def test_every_entry_has_the_fields_that_the_action_reads() -> None:
    for entry in exported(cell(), cell("stego", joules=600.0), estimated("prune")):
        assert entry.keys() <= {"name", "unit", "value", "range", "extra"}
        assert isinstance(entry["value"], float)
        assert all(isinstance(value, str) for key, value in entry.items() if key != "value")


def test_quantities_are_in_their_units_and_smaller_is_better() -> None:
    found = named(exported(cell(joules=3600.0, correct=97)))
    assert found.keys() == {
        "resnet18 baseline: energy by rapl",
        "resnet18 baseline: duration",
        "resnet18 baseline: epochs",
        "resnet18 baseline: 100 % less accuracy",
    }
    energy = found["resnet18 baseline: energy by rapl"]
    assert (energy["value"], energy["unit"]) == (1.0, "Wh")
    assert energy["extra"] == "seeds: 1\ndrop: +1.00 pp\nmachine: a processor"
    error = found["resnet18 baseline: 100 % less accuracy"]
    assert (error["value"], error["unit"]) == (pytest.approx(3.0), "%")
    assert named(exported(regression(rmse=0.5)))["resnet18 baseline: rmse"]["unit"] == "m"


def test_a_metric_that_is_better_when_higher_and_no_share_has_no_entry() -> None:
    score = Metric("score", higher_is_better=True, unit="points", scale=1.0)
    assert not any("score" in name for name in named(exported(cell(metric=score))))


def test_five_seeds_have_a_range_and_the_mean() -> None:
    values = (3500.0, 3550.0, 3600.0, 3650.0, 3700.0)
    five = named(exported(*(cell(seed=n, joules=joules) for n, joules in enumerate(values))))
    energy = five["resnet18 baseline: energy by rapl"]
    assert energy["value"] == pytest.approx(1.0)
    # Student's t of 4 degrees of freedom, 2.776, x 79.06 J / √5, in Wh
    assert energy["range"] == "± 0.0273"
    four = named(exported(*(cell(seed=n, joules=values[n]) for n in range(4))))
    assert "range" not in four["resnet18 baseline: energy by rapl"]


def test_an_estimate_is_another_series_than_a_measurement() -> None:
    (energy,) = [entry for entry in exported(estimated()) if "energy by" in entry["name"]]
    assert energy["name"] == "resnet18 baseline: energy by codecarbon_estimate"
    assert energy["extra"].endswith("energy is an estimate, not a measurement")


def test_names_are_unique_and_unknown_energies_and_failed_cells_left_out() -> None:
    entries = exported(
        cell("a", tolerance=1.0), cell("a", tolerance=2.0), cell("b", joules=None), failed("c")
    )
    names = [entry["name"] for entry in entries]
    assert len(set(names)) == len(names)
    assert "resnet18 a (tolerance=2.0): epochs" in names
    assert not any(name.startswith("resnet18 b: energy") for name in names)
    assert not any(name.startswith("resnet18 c") for name in names)


def test_a_name_cannot_leave_the_code_in_which_the_action_shows_it() -> None:
    assert not any(set(entry["name"]) & set("`|") for entry in exported(cell("a`|b", model="`@x`")))


def test_several_runs_and_a_run_without_cells_are_refused() -> None:
    run = Run("run", Path("run.json"), (cell(),))
    with pytest.raises(UsageError, match="holds one run, not 2"):
        write("action-benchmark", [run, run])
    with pytest.raises(UsageError, match="no finished cell"):
        exported(failed("c"))
