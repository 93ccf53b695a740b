"""The table of joules per call."""

from collections.abc import Mapping

from energybench.energy.per_call import PerCall
from energybench.energy.units import format_joules
from energybench.report.missing import missing_energy
from energybench.report.quoting import text_table

_HEADERS = ("test", "energy per call", "power", "calls", "window", "source", "")


def per_call_table(results: Mapping[str, PerCall]) -> str:
    """Return a table as text with one row per test in `results`; a missing reading is "-".

    Lines below the table give the reasons for missing energy.
    """
    rows = []
    for name, found in results.items():
        reading = found.reading
        watts = "-" if reading.watts is None else f"{reading.watts:.1f} W"
        rows.append(
            (
                name,
                format_joules(found.it_joules),
                watts,
                str(found.calls),
                f"{reading.duration_s:.2f} s",
                reading.source,
                ", ".join(reading.flags),
            )
        )
    sides = ["left", *["right"] * 4, "left", "left"]
    table = text_table(rows, _HEADERS, sides=sides)
    readings = {name: found.reading for name, found in results.items()}
    return "\n".join([table, *missing_energy(readings)])
