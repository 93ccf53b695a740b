"""The epochs of a cell: of the likest cells that have ended, else of the protocol."""

from dataclasses import replace
from typing import Any

import pytest
from support.saved_runs import cell as ended

from energybench.config import Cell, FinetuneConfig
from energybench.records.forecast import Range
from energybench.records.record import RunRecord
from energybench.runs.forecasts.epochs import likely_epochs

CELL = Cell("resnet18", "prune", 3)
LIKE = [ended("prune", seed, epochs=epochs) for seed, epochs in enumerate((9, 12, 10))]


def found(*records: RunRecord, cell: Cell = CELL, **protocol: Any) -> tuple[Range, str]:
    return likely_epochs(cell, FinetuneConfig(**protocol), "digits", records)


def test_without_any_ended_cell_the_protocol_bounds_it() -> None:
    assert found() == (Range(4, 50), "the protocol")
    assert found(max_epochs=2) == (Range(2, 2), "the protocol")


def test_like_cells_of_other_seeds_tell_the_range_and_the_median() -> None:
    assert found(*LIKE) == (Range(9, 12, 10.0), "3 like cells")


def test_one_like_cell_tells_the_likeliest_number_only() -> None:
    assert found(LIKE[0]) == (Range(4, 50, 9.0), "1 like cell")


def test_the_likest_cells_count() -> None:
    model = ended("lowrank", epochs=20), ended("stego", epochs=22)
    method = ended("prune", model="vgg16", epochs=30)
    assert found(*LIKE, *model, method)[1] == "3 like cells"
    assert found(*model, method) == (Range(20, 22, 21.0), "2 cells of its model")
    assert found(method) == (Range(4, 50, 30.0), "1 cell of its method")


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 32},
        {"patience": 5},
        {"learning_rate": 0.1},
    ],
)
def test_another_protocol_is_not_like(change: dict[str, Any]) -> None:
    assert found(ended("prune", **change))[1] == "the protocol"


def test_other_data_failures_and_a_smaller_cap_are_not_like() -> None:
    other = replace(LIKE[0], dataset=replace(LIKE[0].dataset, name="text"))
    broken = replace(LIKE[0], status="failed", error="diverged")
    capped = ended("prune", epochs=9, max_epochs=9)
    assert found(other, broken, capped)[1] == "the protocol"


def test_an_equal_budget_takes_the_baselines_epochs() -> None:
    baselines = [ended("baseline", seed, epochs=epochs) for seed, epochs in enumerate((6, 8))]
    assert found(*baselines, *LIKE, budget="equal") == (Range(6, 8, 7.0), "2 like cells")
    own = found(*baselines, *LIKE, cell=Cell("resnet18", "baseline"), budget="equal")
    assert own == (Range(6, 8, 7.0), "2 like cells")
