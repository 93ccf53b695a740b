"""What electricity emits, by country, from the factors that CodeCarbon carries (no network)."""

import difflib
from dataclasses import dataclass

from energybench.energy.quiet import quietly
from energybench.errors import UsageError


@dataclass(frozen=True)
class CarbonIntensity:
    """What a kilowatt-hour from the grid emits."""

    country: str
    """ISO 3166-1 alpha-3."""
    kg_per_kwh: float
    """kg CO2 equivalent."""
    source: str


def carbon_intensity(country: str) -> CarbonIntensity:
    """The mean carbon intensity of the grid of `country`, an ISO 3166-1 alpha-3 code.

    Raises `UsageError` for a code that CodeCarbon has no data for.
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
        raise UsageError(f"--energy-country: no emission factor for {country!r}; {hint}")
    place = GeoMetadata(country_iso_code=code, country_name=known[code]["country_name"])
    kg_per_kwh = Emissions(source).get_country_emissions(Energy.from_energy(kWh=1.0), place)
    mix = known[code].get("year", "unknown")
    return CarbonIntensity(code, float(kg_per_kwh), f"codecarbon {version('codecarbon')}, {mix}")
