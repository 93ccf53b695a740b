"""When the cells of a session will have ended."""

from datetime import datetime

from energybench.config import Cell
from energybench.records.forecast import Forecast, Range
from energybench.runs.ahead import Ahead

BASELINE, STEGO, OTHER = Cell("a", "baseline"), Cell("a", "stego"), Cell("b", "baseline")
NOON = datetime(2026, 11, 28, 12, 0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def planned(seconds: float, likely: float | None = 10.0) -> Forecast:
    epochs = Range(4, 50, likely)
    return Forecast(Range(seconds, seconds, seconds), None, epochs, "3 like cells", 0.0, 7)


def test_without_a_plan_the_cells_so_far_tell() -> None:
    clock = Clock()
    ahead = Ahead([BASELINE, STEGO, OTHER], clock, lambda: NOON)
    ahead.begin(BASELINE)
    assert ahead.text() == ""
    clock.now = 60.0
    ahead.end(measured=True)
    assert ahead.text() == "all cells end about 12:02"
    ahead.begin(STEGO)
    clock.now = 100.0
    assert ahead.left_s == 60.0 + 20.0
    ahead.end(measured=True)
    assert ahead.left_s == 50.0  # the mean of both cells, for another model


def test_a_plan_tells_before_the_first_cell_has_ended() -> None:
    ahead = Ahead([BASELINE, STEGO], Clock(), lambda: NOON)
    ahead.forecasts = {BASELINE: planned(6.0), STEGO: planned(4320.0)}
    assert ahead.left_s == 60.0 + 43200.0
    assert ahead.text() == "all cells end about 2026-11-29 00:01"
    ahead.forecasts = {BASELINE: planned(6.0), STEGO: planned(12.0, likely=None)}
    assert ahead.text() == "", "one of the cells has no likely number of epochs"


def test_cells_of_the_journal_take_no_time_and_a_waiting_cell_ends_once() -> None:
    clock = Clock()
    ahead = Ahead([STEGO, BASELINE, OTHER], clock, lambda: NOON)
    ahead.begin(STEGO)
    clock.now = 30.0
    ahead.end(measured=True)  # it waits for its baseline
    ahead.begin(BASELINE)
    ahead.end(measured=False)
    ahead.begin(STEGO)
    ahead.end(measured=True)
    assert ahead.left_s == 30.0


def test_a_cell_that_does_not_run_here_takes_no_time() -> None:
    ahead = Ahead([BASELINE, STEGO], Clock(), lambda: NOON)
    ahead.forecasts = {BASELINE: planned(6.0)}
    assert ahead.left_s is None
    ahead.drop(STEGO)
    ahead.drop(OTHER)
    assert ahead.left_s == 60.0
