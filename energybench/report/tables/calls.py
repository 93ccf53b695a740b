"""The table of joules per call."""

from collections.abc import Mapping

from energybench.energy.per_call import PerCall
from energybench.energy.units import format_joules
from energybench.report.quoting import text_table

_HEADERS = ("test", "energy per call", "power", "calls", "window", "source", "")


def per_call_table(results: Mapping[str, PerCall]) -> str:
    """Return a table as text with one row per test in `results`; a missing reading is "-"."""
    rows = []
    for name, found in results.items():
        reading = found.reading
        watts = "-" if reading.watts is None else f"{reading.watts:.1f} W"
        notes = [*reading.flags, *(f"{key}: {why}" for key, why in reading.unavailable.items())]
        rows.append(
            (
                name,
                format_joules(found.it_joules),
                watts,
                str(found.calls),
                f"{reading.duration_s:.2f} s",
                reading.source,
                "; ".join(notes) if reading.it_joules is None else ", ".join(reading.flags),
            )
        )
    sides = ["left", *["right"] * 4, "left", "left"]
    return text_table(rows, _HEADERS, sides=sides)
