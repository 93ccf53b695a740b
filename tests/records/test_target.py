"""Energy to target: when a cell was first as good as its baseline's best, less the tolerance."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.saved_runs import RMSE, cell, save

from energybench.energy.units import format_kwh
from energybench.records.epoch import EpochRecord
from energybench.records.flat_keys import flat_keys
from energybench.records.metric import ACCURACY, Metric
from energybench.records.record import RunRecord
from energybench.records.saved import read_runs
from energybench.records.start import Evaluation, Start
from energybench.records.target import Target, target_of
from energybench.report.sections import sections
from energybench.report.tables.matrix_rows import result_table


def epochs(*values: float, joules: float | None = 10.0) -> list[EpochRecord]:
    return [
        EpochRecord(number, 0.5, 0.4, value, 7, 448, 1.0, joules, 448.0, None)
        for number, value in enumerate(values, 1)
    ]


def start(value: float) -> Start:
    return Start(Evaluation(0.1, 0.99), Evaluation(0.5, value))


BASELINE = epochs(0.90, 0.97, 0.95)
ERRORS = epochs(0.9, 0.5, 0.6)


@pytest.mark.parametrize(
    ("metric", "tolerance", "baseline", "before", "values", "expected"),
    [
        (ACCURACY, 1.0, BASELINE, 0.50, [0.90, 0.96, 0.99], (0.96, 2, 20.0)),
        (ACCURACY, 1.0, BASELINE, 0.96, [0.90], (0.96, 0, 0.0)),
        (ACCURACY, 1.0, BASELINE, 0.50, [0.90, 0.95], (0.96, None, None)),
        (ACCURACY, 1.0, BASELINE, None, [0.97], (0.96, 1, 10.0)),
        (RMSE, 0.1, ERRORS, 0.9, [0.7, 0.6], (0.6, 2, 20.0)),
        (RMSE, 0.1, ERRORS, 0.5, [0.7], (0.6, 0, 0.0)),
    ],
)
def test_the_first_epoch_as_good_as_the_baselines_best_less_the_tolerance(
    metric: Metric,
    tolerance: float,
    baseline: list[EpochRecord],
    before: float | None,
    values: list[float],
    expected: tuple[float, int | None, float | None],
) -> None:
    own = None if before is None else start(before)
    found = target_of(metric, tolerance, baseline, own, epochs(*values))
    assert found is not None
    assert (found.epoch, found.joules) == expected[1:]
    assert found.value == pytest.approx(expected[0])


def test_joules_that_were_not_read_are_not_known() -> None:
    unread = [*epochs(0.5, joules=None), replace(epochs(0.99)[0], epoch=2)]
    found = target_of(ACCURACY, 1.0, BASELINE, start(0.5), unread)
    assert found is not None
    assert (found.epoch, found.joules) == (2, None)
    assert target_of(ACCURACY, 1.0, [], start(0.5), unread) is None


def test_the_headline_has_the_facility_energy_to_the_target() -> None:
    record = cell(changes={"target": Target(0.96, 2, 3.6e6)}, pue=1.5)
    assert flat_keys(record)["kwh_to_target"] == record.kwh_to_target == 1.5
    assert cell(changes={"target": Target(0.96, None, None)}).kwh_to_target is None
    assert flat_keys(cell())["kwh_to_target"] is None


def test_the_table_of_a_report_has_it_where_a_record_has(tmp_path: Path) -> None:
    def rows(*records: RunRecord) -> list[dict[str, str]]:
        (section,) = sections(read_runs([save(tmp_path / "run.json", records)]))
        table = result_table(section)
        return [dict(zip(table.headers, row, strict=True)) for row in table.rows]

    assert all("to target" not in row for row in rows(cell(), cell("prune")))
    reached = {"target": Target(0.97, 2, 3600.0)}
    never = {"target": Target(0.97, None, None)}
    found = rows(cell(changes=reached), cell("prune", changes=never))
    assert [row["to target"] for row in found] == [format_kwh(0.001), "not reached"]
