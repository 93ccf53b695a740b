"""Energy units: joules inside, kilowatt-hours at the edges."""

JOULES_PER_KWH = 3.6e6
"""Exactly 3.6e6 J in one kWh (SI)."""


def kwh(joules: float, pue: float = 1.0) -> float:
    """Facility energy in kWh of `joules` of IT energy.

    `pue` is the power usage effectiveness of the data centre: facility energy / IT energy, >= 1.
    """
    return joules * pue / JOULES_PER_KWH


def format_kwh(value: float | None) -> str:
    """`value` in kWh with the prefix that keeps three significant digits readable; "-" for None."""
    if value is None:
        return "-"
    for factor, unit in ((1.0, "kWh"), (1e3, "Wh"), (1e6, "mWh")):
        if abs(value) * factor >= 1.0:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} mWh"


def format_co2e(kg: float | None) -> str:
    """Kilograms of CO2 equivalent with three significant digits; "-" for None."""
    if kg is None:
        return "-"
    for factor, unit in ((1.0, "kg"), (1e3, "g")):
        if abs(kg) * factor >= 1.0:
            return f"{kg * factor:.3g} {unit}"
    return f"{kg * 1e6:.3g} mg"


def format_joules(value: float | None) -> str:
    """`value` in joules with three significant digits and a readable prefix; "-" for None."""
    if value is None:
        return "-"
    for factor, unit in ((1e-3, "kJ"), (1.0, "J"), (1e3, "mJ"), (1e6, "uJ")):
        if abs(value) * factor >= 1.0:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} nJ"


def format_bytes(value: int) -> str:
    """A size with three significant digits: "393 MB"."""
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value / 1e3:.3g} kB"


def format_seconds(value: float | None) -> str:
    """A duration for people: "7.3 s", "4 min 05 s", "2 h 13 min"; "-" for None."""
    if value is None:
        return "-"
    if value < 100:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    if minutes < 100:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
