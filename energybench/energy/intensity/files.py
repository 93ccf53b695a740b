"""A file of hourly carbon intensity, by the format that its head shows."""

import hashlib
import os
from pathlib import Path

from energybench.energy.carbon import CarbonIntensity
from energybench.energy.intensity import electricity_maps, entsoe, great_britain
from energybench.energy.intensity.factors import read_factors
from energybench.energy.intensity.hours import HourlyIntensity
from energybench.energy.intensity.rows import Table
from energybench.errors import UsageError


def read_hours(
    path: str | Path, zone: str | None = None, factors: str | Path | None = None
) -> HourlyIntensity:
    """The hours of one grid in a file of Electricity Maps, Great Britain or ENTSO-E.

    `zone` chooses one where the file has several; `factors` is a file of emission factors, which
    ENTSO-E's generation needs. Raises `UsageError` for any other file, for one that the modules of
    these formats refuse, and as `HourlyIntensity` does.
    """
    table = Table.read(Path(os.path.expanduser(path)))
    if entsoe.matches(table):
        if factors is None:
            raise UsageError(
                f"{table.name} has generation per type and no emissions; declare the emissions of "
                "each type with intensity-factors"
            )
        declared = read_factors(Path(os.path.expanduser(factors)))
        chosen, hours = entsoe.read(table, zone, declared)
        publisher = f"{entsoe.PUBLISHER}, factors of {'; '.join(declared.sources)}"
    elif factors is not None:
        raise UsageError(
            f"intensity-factors are for ENTSO-E's generation per type, and {table.name} has "
            "another head; leave them out"
        )
    elif electricity_maps.matches(table):
        chosen, hours = electricity_maps.read(table, zone)
        publisher = electricity_maps.PUBLISHER
    elif great_britain.matches(table):
        chosen, hours = great_britain.read(table, zone)
        publisher = great_britain.PUBLISHER
    else:
        raise UsageError(
            f"{table.name} has the columns {', '.join(table.columns[:6])}, which no known format "
            "has; name a CSV of Electricity Maps, carbonintensity.org.uk, NESO's historic "
            "generation mix, or ENTSO-E's actual generation per type"
        )
    digest = hashlib.sha256(table.path.read_bytes()).hexdigest()[:12]
    source = f"{publisher}, {table.name} ({digest})"
    return HourlyIntensity(CarbonIntensity(chosen, None, source), hours, table.name)
