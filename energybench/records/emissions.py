"""Emissions of a record by the grid: a country's mean, or the hours of its windows."""

from dataclasses import replace

from energybench.energy.grid import Grid
from energybench.energy.intensity.hours import HourlyIntensity
from energybench.records.record import RunRecord


def with_grid(record: RunRecord, grid: Grid | None) -> RunRecord:
    """Return `record` with the intensity of `grid` in place of any other; a pure function."""
    if not isinstance(grid, HourlyIntensity):
        return replace(record, carbon=grid, intensities={})
    means = {
        name: grid.mean(record.spans.get(name, []), reading.duration_s)
        for name, reading in record.phases.items()
    }
    return replace(record, carbon=grid.facts, intensities=means)
