"""Lines on emissions: why they are missing, what they rest on, and what making the machine adds."""

from collections.abc import Iterable, Sequence

from energybench.energy.units import format_co2e
from energybench.records.record import RunRecord


def emission_lines(records: Iterable[RunRecord]) -> list[str]:
    """Return the lines below a table of cells; none where no grid and no figure was named."""
    records = list(records)
    return [*_missing(records), *_hourly(records), *_embodied(records)]


def _missing(records: Sequence[RunRecord]) -> list[str]:
    """One line where the energy of cells has no emissions, with the reason of the first."""
    lacking = [
        (f"{record.model} {record.method} seed {record.seed}", mean.reason)
        for record in records
        if (mean := record.intensities.get(record.main_phase)) is not None
        and mean.reason is not None
    ]
    if not lacking:
        return []
    name, reason = lacking[0]
    further = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return [
        f"no CO2e of {name}{further}: {reason}; energybench emissions adds it from a file that "
        "has it"
    ]


def _hourly(records: Sequence[RunRecord]) -> list[str]:
    """A line per file of hours that gave emissions."""
    estimated: dict[str, bool] = {}
    for record in records:
        mean = record.intensities.get(record.main_phase)
        if record.carbon is not None and mean is not None and mean.reason is None:
            source = f"{record.carbon.country}, {record.carbon.source}"
            estimated[source] = estimated.get(source, False) or mean.estimated
    return [
        f"CO2e by the hour: {source}" + ("; the publisher estimates some hours" if some else "")
        for source, some in estimated.items()
    ]


def _embodied(records: Sequence[RunRecord]) -> list[str]:
    """A line per declared figure of making the machine."""
    totals: dict[float, float] = {}
    for record in records:
        grams, kilograms = record.embodied_g_per_hour, record.kg_co2e_embodied
        if grams is not None and kilograms is not None:
            totals[grams] = totals.get(grams, 0.0) + kilograms
    return [
        f"making the machine, not in CO2e: {format_co2e(total)} for these cells, at {grams:g} g an "
        "hour as declared"
        for grams, total in totals.items()
    ]
