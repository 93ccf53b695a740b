"""Carbon intensity of electricity by country, from the factors in CodeCarbon (no network).

`intensity.files` reads the hours of a grid from a file.
"""

import difflib
from dataclasses import dataclass

from energybench.energy.quiet import quietly
from energybench.errors import UsageError


@dataclass(frozen=True)
class CarbonIntensity:
    """Emissions of a kilowatt-hour from the grid."""

    country: str
    """ISO 3166-1 alpha-3 code, for example FRA; of a file of hours, its own name of the zone."""
    kg_per_kwh: float | None
    """kg CO2 equivalent; None where it follows the hours, see `MeanIntensity`."""
    source: str
    """Package, version and year of the data, for example "codecarbon 3.3.2, 2023"; of a file of
    hours, its publisher and quantity, its name, and the start of its SHA-256."""


@dataclass(frozen=True)
class MeanIntensity:
    """Emissions of a kilowatt-hour over the windows of one phase, by their hours."""

    kg_per_kwh: float | None
    """kg CO2 equivalent; None for the `reason`."""
    reason: str | None = None
    """Why there is none, in one line; None where there is one."""
    estimated: bool = False
    """Whether the publisher calls any of these hours an estimate."""


def carbon_intensity(country: str) -> CarbonIntensity:
    """The mean carbon intensity of the grid of `country`, an ISO 3166-1 alpha-3 code.

    Raises `UsageError` for a code without data in CodeCarbon.
    """
    from importlib.metadata import version

    with quietly():
        from codecarbon.core.emissions import Emissions
        from codecarbon.core.units import Energy
        from codecarbon.external.geography import GeoMetadata
        from codecarbon.input import DataSource

    code = country.upper()
    source = DataSource()
    known = source.get_global_energy_mix_data()
    if code not in known:
        near = difflib.get_close_matches(code, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "use three letters, as FRA or USA"
        raise UsageError(f"no emission factor for {country!r}; {hint}")
    place = GeoMetadata(country_iso_code=code, country_name=known[code]["country_name"])
    kg_per_kwh = Emissions(source).get_country_emissions(Energy.from_energy(kWh=1.0), place)
    mix = known[code].get("year", "unknown")
    return CarbonIntensity(code, float(kg_per_kwh), f"codecarbon {version('codecarbon')}, {mix}")
