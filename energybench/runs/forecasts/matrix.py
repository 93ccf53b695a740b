"""The forecast of a matrix: what each of its cells takes, and all of them together; its file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from energybench.config import Cell
from energybench.energy.units import kwh
from energybench.errors import UsageError
from energybench.files import publish
from energybench.records.forecast import Forecast, Range
from energybench.records.schema import read_versioned

FORECAST_VERSION = 1


@dataclass(frozen=True)
class CellForecast:
    """The forecast of one cell, or why it has none."""

    cell: Cell
    key: str
    """Cache key of the cell's result: it tells whether a later session runs this very cell."""
    forecast: Forecast | None
    tolerance: float | None = None
    """The cell's own tolerance, in the metric's unit; None for that of the run."""
    error: str | None = None


@dataclass(frozen=True)
class MatrixForecast:
    """The forecast of all cells that a command line of pytest collects, in their order."""

    arguments: list[str]
    """pytest's arguments."""
    made_at: str
    """Date and time in UTC, ISO 8601."""
    energybench: str
    device_name: str
    pue: float
    cells: list[CellForecast]
    idle_s: float = 0.0
    """Seconds in which idle power is measured, once, before the first cell."""
    price_per_kwh: float | None = None
    notes: list[str] = field(default_factory=list)
    """What the session does before its cells, and the forecast leaves out."""
    schema_version: int = FORECAST_VERSION

    @property
    def known(self) -> list[tuple[CellForecast, Forecast]]:
        """The cells that have a forecast."""
        return [(one, one.forecast) for one in self.cells if one.forecast is not None]

    @property
    def seconds(self) -> Range:
        """Seconds of all cells one after the other, with the idle seconds before them."""
        return total([one.seconds for _, one in self.known]).shifted(self.idle_s)

    @property
    def kwh(self) -> Range | None:
        """Facility energy of all cells, kWh; None where the power of any is not known."""
        joules = [one.joules for _, one in self.known]
        found = [one for one in joules if one is not None]
        return self.facility(total(found)) if found and len(found) == len(joules) else None

    @property
    def peak_bytes(self) -> int | None:
        """The largest memory of any rank of any cell."""
        peaks = [one.peak_bytes for _, one in self.known]
        return max((peak for peak in peaks if peak is not None), default=None)

    @property
    def longest_block(self) -> tuple[str, int, Range] | None:
        """The critical path: the cells of one model and seed run on one machine, in sequence.

        Returns model, seed and seconds of the block that ends last where each block has a machine
        of its own; None where no cell has a forecast.
        """
        blocks: dict[tuple[str, int], list[Range]] = {}
        for one, forecast in self.known:
            blocks.setdefault((one.cell.model, one.cell.seed), []).append(forecast.seconds)
        sums = {block: total(seconds) for block, seconds in blocks.items()}
        if not sums:
            return None
        model, seed = max(sums, key=lambda block: sums[block].high)
        return model, seed, sums[model, seed].shifted(self.idle_s)

    def facility(self, joules: Range) -> Range:
        """The facility energy of `joules` of IT energy, kWh."""
        return joules.scaled(kwh(1.0, self.pue))

    def price(self, energy: Range | None) -> Range | None:
        """The price of a facility energy in kWh; None where either is not known."""
        if energy is None or self.price_per_kwh is None:
            return None
        return energy.scaled(self.price_per_kwh)

    def by_key(self) -> Mapping[str, Forecast]:
        """Cache key of a cell -> its forecast."""
        return {one.key: forecast for one, forecast in self.known}

    def write(self, path: Path) -> None:
        """Write the file; raises `UsageError` where that fails, and leaves what was there."""
        text = json.dumps(asdict(self), indent=1) + "\n"
        advice = "name another file, or free some space there"
        publish(path, lambda file: file.write_text(text, encoding="utf-8"), advice)


def total(ranges: Sequence[Range]) -> Range:
    """The range of a sum: all at their lowest, all at their highest."""
    found = Range(0.0, 0.0, 0.0)
    for one in ranges:
        found = found.plus(one)
    return found


def read_forecast(path: str | Path) -> MatrixForecast:
    """Read a file of `MatrixForecast.write`; raises `UsageError` for any other."""
    advice = "make it with `energybench plan -o FILE`"
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the plan {path} ({error.strerror}); {advice}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no plan: it is not JSON; {advice}") from error
    try:
        return read_versioned(data, MatrixForecast, "plan", FORECAST_VERSION)
    except UsageError as error:
        raise UsageError(f"{path}: {error}; {advice}") from error
