"""The cells of a session that are still to come, and when the last of them will have ended."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import fmean

from energybench.config import Cell
from energybench.records.forecast import Forecast


class Ahead:
    """Says when a session ends, from the forecasts of its cells, or from the cells so far."""

    def __init__(
        self,
        cells: Sequence[Cell],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        """Take all cells in their order; a cell is there once per test."""
        self._cells = list(cells)
        self._clock, self._now = clock, now
        self._started: tuple[Cell, float] | None = None
        self._took: dict[str, list[float]] = {}
        self.forecasts: Mapping[Cell, Forecast] = {}
        """Those of a plan, as far as there is one."""

    def begin(self, cell: Cell) -> None:
        """Note that `cell` starts."""
        self._started = cell, self._clock()

    def end(self, measured: bool) -> None:
        """Note that the started cell has ended; a result of the journal was not `measured`."""
        if self._started is None:
            return
        cell, since = self._started
        self._started = None
        if cell in self._cells:  # a cell that waited for its baseline ends twice
            self._cells.remove(cell)
            if measured:
                self._took.setdefault(cell.model, []).append(self._clock() - since)

    def drop(self, cell: Cell) -> None:
        """Note that `cell` does not run here."""
        if cell in self._cells:
            self._cells.remove(cell)

    @property
    def left_s(self) -> float | None:
        """Seconds until the last cell ends; None where the time of any cell is not known."""
        expected = [self._expected_s(cell) for cell in self._cells]
        known = [seconds for seconds in expected if seconds is not None]
        if not known or len(known) < len(expected):
            return None
        left = sum(known)
        if self._started is not None and self._started[0] in self._cells:
            cell, since = self._started
            left -= min(self._clock() - since, self._expected_s(cell) or 0.0)
        return left

    def text(self) -> str:
        """Return "all cells end about 14:32"; "" where that is not known."""
        left = self.left_s
        if left is None:
            return ""
        end = self._now() + timedelta(seconds=left)
        day = "" if end.date() == self._now().date() else f"{end:%Y-%m-%d} "
        return f"all cells end about {day}{end:%H:%M}"

    def _expected_s(self, cell: Cell) -> float | None:
        """The likely seconds of a cell: of its forecast, of its model's cells, or of all cells."""
        forecast = self.forecasts.get(cell)
        if forecast is not None and forecast.seconds.likely is not None:
            return forecast.seconds.likely
        took = self._took.get(cell.model) or [s for every in self._took.values() for s in every]
        return fmean(took) if took else None
