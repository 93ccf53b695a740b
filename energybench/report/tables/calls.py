"""The table of joules per call."""

from collections.abc import Callable, Mapping, Sequence

from energybench.config import CALL_COLUMNS
from energybench.energy.units import format_joules
from energybench.records.calls import CallEnergy
from energybench.report.missing import missing_energy
from energybench.report.quoting import text_table
from energybench.report.stats import Estimate, means


def call_table(
    results: Mapping[str, CallEnergy],
    columns: Sequence[str] = CALL_COLUMNS,
    sort: str | None = None,
) -> str:
    """Return a table as text with one row per test in `results`; what is not known is "-".

    `columns` are of `CALL_COLUMNS`, `sort` is one of `CALL_ORDERS`: ascending, what is not known
    last; None keeps the order of `results`. Lines below the table give the reasons for missing
    energy.
    """
    names = sorted(results) if sort == "name" else list(results)
    if sort is not None and sort != "name":
        key = _KEYS[sort]
        names.sort(key=lambda name: _last_if_none(key(results[name])))
    rows = [[name, *(_TEXTS[column](results[name]) for column in columns)] for name in names]
    sides = ["left" if column in ("source", "notes") else "right" for column in columns]
    headers = ["test", *columns]
    table = text_table(rows, headers, sides=["left", *sides])
    return "\n".join([table, *missing_energy(results)])


def spread(energy: CallEnergy) -> Estimate | None:
    """Return the mean of a test's repeats with its interval; None without energy."""
    return means([energy.repeats])[0] if energy.repeats else None


def half_width(energy: CallEnergy) -> float | None:
    """Return half of the interval over the repeats as a share of their mean; None without one."""
    found = spread(energy)
    if found is None or found.high is None or found.value <= 0.0:
        return None
    return (found.high - found.value) / found.value


def _interval(energy: CallEnergy) -> str:
    half = half_width(energy)
    return "-" if half is None else f"±{100 * half:.1f} %"


def _watts(energy: CallEnergy) -> str:
    return "-" if energy.watts is None else f"{energy.watts:.1f} W"


def _notes(energy: CallEnergy) -> str:
    return "; ".join([*energy.flags, *([energy.note] if energy.note else [])])


_TEXTS: Mapping[str, Callable[[CallEnergy], str]] = {
    "joules": lambda energy: format_joules(energy.joules_per_call),
    "interval": _interval,
    "watts": _watts,
    "calls": lambda energy: str(energy.calls),
    "window": lambda energy: f"{energy.window_s:.2f} s",
    "repeats": lambda energy: str(len(energy.repeats)),
    "source": lambda energy: energy.source,
    "notes": _notes,
}
_KEYS: Mapping[str, Callable[[CallEnergy], float | str | None]] = {
    "joules": lambda energy: energy.joules_per_call,
    "interval": half_width,
    "watts": lambda energy: energy.watts,
    "calls": lambda energy: float(energy.calls),
    "window": lambda energy: energy.window_s,
    "repeats": lambda energy: float(len(energy.repeats)),
    "source": lambda energy: energy.source,
}


def _last_if_none(value: float | str | None) -> tuple[bool, float, str]:
    if isinstance(value, str):
        return False, 0.0, value
    return value is None, value or 0.0, ""
