"""The forecast of a matrix: ranges, totals, the critical path, its file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from energybench.config import Cell
from energybench.errors import UsageError
from energybench.records.forecast import Forecast, MemoryUse, Range
from energybench.report.tables.forecasts import memory_table, plan_lines, plan_table
from energybench.runs.forecasts.cost import Cost
from energybench.runs.forecasts.making import forecast_of
from energybench.runs.forecasts.matrix import CellForecast, MatrixForecast, read_forecast

USE = MemoryUse(100, 100, 100, 5_000, 2_000_000)


def forecast(seconds: float, watts: float | None = 36.0, likely: float | None = 10.0) -> Forecast:
    cost = Cost([seconds, 2 * seconds, 3 * seconds], watts, 5.0, 35, [USE], ["a note"], "rapl")
    return forecast_of(cost, Range(4, 20, likely), "3 like cells")


def matrix(*found: Forecast | None) -> MatrixForecast:
    places = [Cell("a", "baseline"), Cell("a", "prune"), Cell("b", "baseline")]
    cells = [
        CellForecast(cell, f"{number}", one, error=None if one else "diverged")
        for number, (cell, one) in enumerate(zip(places, found, strict=False))
    ]
    return MatrixForecast(["-k", "x"], "2026-11-28T12:00:00+00:00", "0.1", "a CPU", 2.0, cells)


def test_a_cell_is_its_epochs_and_what_is_outside_of_them() -> None:
    one = forecast(1.0)
    assert one.seconds_per_epoch == Range(1.0, 3.0, 2.0)
    assert one.finetune_s == Range(4.0, 60.0, 20.0)
    assert one.seconds == Range(9.0, 65.0, 25.0)
    assert one.joules == Range(324.0, 2340.0, 900.0)
    assert one.peak_bytes == 2_000_000
    assert forecast(1.0, likely=None).seconds == Range(9.0, 65.0)
    assert forecast(1.0, watts=None).joules is None


def test_totals_and_the_critical_path() -> None:
    plan = replace(matrix(forecast(1.0), forecast(1.0), forecast(2.0)), idle_s=5.0)
    assert plan.seconds == Range(9 + 9 + 13 + 5, 65 + 65 + 125 + 5, 25 + 25 + 45 + 5)
    assert plan.longest_block == ("a", 0, Range(23.0, 135.0, 55.0))
    assert plan.kwh is not None
    assert plan.kwh.likely == pytest.approx(2.0 * 36.0 * 95.0 / 3.6e6)
    assert plan.price(plan.kwh) is None
    priced = replace(plan, price_per_kwh=0.5).price(plan.kwh)
    assert priced is not None
    assert priced.likely == pytest.approx(36.0 * 95.0 / 3.6e6)


def test_energy_is_unknown_where_that_of_one_cell_is() -> None:
    plan = matrix(forecast(1.0), forecast(1.0, watts=None))
    assert plan.kwh is None
    assert any("no energy" in line for line in plan_lines(plan))


def test_the_table_has_a_row_per_cell_and_the_reason_of_one_without_a_forecast() -> None:
    plan = replace(matrix(forecast(1.0), None, forecast(2.0, likely=None)), price_per_kwh=1000.0)
    rows = plan_table(plan).splitlines()[2:]
    assert "2 [1, 3]" in rows[0]
    assert "10 [4, 20]" in rows[0]
    assert "25.0 s [9.0 s, 65.0 s]" in rows[0]
    assert "not measured" in rows[1]
    assert "4 to 20" in rows[2]
    lines = plan_lines(plan)
    assert lines[0] == "a prune: diverged"
    assert lines[1].startswith("the measured 2 cells, one after the other: 22.0 s to 3 min 10 s")
    assert "a baseline, b baseline: a note" in lines
    assert "2 MB" in memory_table(plan)


def test_a_narrow_terminal_keeps_time_and_energy() -> None:
    *lines, last = plan_table(matrix(forecast(1.0)), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert last.startswith("left out, to fit 80 columns: epochs from")
    assert {"time", "energy"} <= set(lines[0].split())


def test_memory_of_several_ranks_is_a_row_each() -> None:
    shared = replace(forecast(1.0), memory=[USE, replace(USE, activations=9_000)])
    head, _, *rows = memory_table(matrix(shared)).splitlines()
    assert "rank" in head
    assert [row.split()[2] for row in rows] == ["0", "1"]


def test_there_and_back_through_the_file(tmp_path: Path) -> None:
    plan = matrix(forecast(1.0), None, forecast(2.0, likely=None))
    path = tmp_path / "plan.json"
    plan.write(path)
    assert read_forecast(path) == plan
    assert set(read_forecast(path).by_key()) == {"0", "2"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot read the plan"),
        ("{", "is no plan: it is not JSON"),
        ("{}", "not an energybench plan"),
        (json.dumps({"schema_version": 99}), "upgrade energybench"),
        (json.dumps({"schema_version": 1, "cells": 3}), "not an energybench plan"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "plan.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        read_forecast(path)
    assert "energybench plan -o FILE" in str(caught.value)
