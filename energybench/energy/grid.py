"""The grid that a machine draws from, as the options of a run name it."""

from energybench.config import MeasureConfig
from energybench.energy.carbon import CarbonIntensity, carbon_intensity
from energybench.energy.intensity.files import read_hours
from energybench.energy.intensity.hours import HourlyIntensity

Grid = CarbonIntensity | HourlyIntensity
"""A country's mean, or the hours of a file."""


def grid_of(measure: MeasureConfig) -> Grid | None:
    """Look up the emissions of the grid; None if `measure` names no country and no file.

    Raises `UsageError` for a country or a file that cannot be used.
    """
    if measure.intensity_file is not None:
        return read_hours(measure.intensity_file, measure.intensity_zone, measure.intensity_factors)
    return None if measure.country is None else carbon_intensity(measure.country)
