"""How good the forecasts of a run were."""

from dataclasses import replace
from pathlib import Path

from support.saved_runs import cell, failed, save

from energybench.energy.readings import CpuUse
from energybench.records.forecast import Forecast, Range
from energybench.records.record import RunRecord
from energybench.records.saved import read_runs
from energybench.report.forecast_quality import outcomes, quality_line
from energybench.report.page import markdown
from energybench.report.tables.forecasts import forecast_lines


def planned(method: str, seconds: float, epochs: int = 4) -> RunRecord:
    """A cell whose epochs took 0.5 s and 20 J each; `seconds` were expected, at 40 W."""
    record = cell(method, epochs=epochs)
    trained = [replace(epoch, duration_s=0.5, joules=20.0) for epoch in record.epochs]
    expected = Range(0.9 * seconds, 1.1 * seconds, seconds)
    forecast = Forecast(expected, 40.0, Range(4, 6, 5.0), "3 like cells", 2.0, 35)
    return replace(record, epochs=trained, forecast=forecast)


RECORDS = [planned("baseline", 0.55), planned("prune", 0.4, epochs=9), planned("stego", 0.5)]


def test_errors_are_those_of_an_epoch_and_the_median_is_of_all_cells() -> None:
    found = outcomes(RECORDS)
    assert [round(one.seconds_error or 0.0, 3) for one in found] == [0.1, -0.2, 0.0]
    assert [round(one.energy_error or 0.0, 3) for one in found] == [0.1, -0.2, 0.0]
    assert [one.epochs_inside for one in found] == [True, False, True]
    assert quality_line(found) == (
        "the plan: seconds per epoch off by 10.0 % in the median of 3 cells, at most -20.0 % "
        "(resnet18 prune); energy per epoch off by 10.0 % in the median of 3 cells, at most "
        "-20.0 % (resnet18 prune); epochs within the forecast in 2 of 3 cells"
    )


def test_energy_that_nobody_measured_is_left_out() -> None:
    unread = [replace(epoch, joules=None) for epoch in RECORDS[0].epochs]
    line = quality_line(outcomes([replace(RECORDS[0], epochs=unread)]))
    assert line is not None
    assert "energy" not in line
    assert "off by +10.0 %" in line


def test_cpu_time_is_compared_where_both_are_known() -> None:
    used = [replace(one, cpu=CpuUse(0.4, 1.0, 0.0, 2.0)) for one in RECORDS[0].epochs]
    assert RECORDS[0].forecast is not None
    forecast = replace(RECORDS[0].forecast, cpu_s_per_epoch=0.5)
    (found,) = outcomes([replace(RECORDS[0], epochs=used, forecast=forecast)])
    assert round(found.cpu_error or 0.0, 3) == 0.25
    assert "CPU time per epoch off by +25.0 %" in (quality_line([found]) or "")
    (unknown,) = outcomes([replace(RECORDS[0], forecast=forecast)])
    assert unknown.cpu_error is None


def test_failed_and_unplanned_cells_have_no_outcome() -> None:
    assert outcomes([cell(), failed("prune")]) == []
    assert forecast_lines([cell()], None) == []
    (line,) = forecast_lines([cell()], "plan.json")
    assert "plan.json has no forecast of these cells" in line


def test_the_terminal_and_the_report_show_them(tmp_path: Path) -> None:
    lines = forecast_lines(RECORDS, "plan.json")
    assert len(lines) == 2 + 3 + 1
    assert "+10.0 %" in lines[2]
    text = markdown(read_runs([save(tmp_path / "run.json", RECORDS)]))
    assert "### The plan and what came" in text
    assert "off by 10.0 % in the median" in text
    assert "The plan" not in markdown(read_runs([save(tmp_path / "other.json", [cell()])]))
