"""ENTSO-E's actual generation per production type, and the intensity that declared factors give it.

ENTSO-E publishes megawatts, no emissions: the intensity of an interval is the sum of generation x
factor over the sum of generation. Imports, exports and the consumption of pumped storage are left
out. Two of its files are read (https://transparency.entsoe.eu):

- `AggregatedGenerationPerType_16.1.B_C_r3` of the file library: tab-separated, in UTC, with the
  columns `DateTime(UTC)`, `ResolutionCode` (PT15M, PT30M, PT60M), `AreaTypeCode`, `AreaMapCode`,
  `ProductionType`, `ActualGenerationOutput[MW]` and others. It has all areas of a month.
- The export of the web page "Actual Generation per Production Type": `MTU (CET/CEST)` or `MTU
  (UTC)`, `Area`, `Production Type`, `Generation (MW)`. An interval is "29/10/2023 02:00:00 (CEST) -
  29/10/2023 02:15:00 (CEST)"; the marks stand where the clock changes.

A zone is written as the web page does: `BZN|FR`, `CTY|DE`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from energybench.energy.intensity.factors import Factors
from energybench.energy.intensity.hours import Hour
from energybench.energy.intensity.one_zone import one_zone
from energybench.energy.intensity.rows import Row, Table
from energybench.errors import UsageError

PUBLISHER = "ENTSO-E's generation per type without imports"
_LIBRARY = (
    *("DateTime(UTC)", "ResolutionCode", "AreaTypeCode", "AreaMapCode"),
    *("ProductionType", "ActualGenerationOutput[MW]"),
)
_EXPORT = ("Area", "Production Type", "Generation (MW)")
_UTC, _CET = "MTU (UTC)", "MTU (CET/CEST)"
_INTERVAL = re.compile(
    r"(?P<start>[\d/]+ [\d:]+)(?: \((?P<mark>CES?T|UTC)\))? - (?P<end>[\d/]+ [\d:]+)(?: \(\w+\))?"
)
_MARKS = {"CET": timezone(timedelta(hours=1)), "CEST": timezone(timedelta(hours=2)), "UTC": UTC}
_NOT_EXPECTED = ("n/e", "-")
"""A type that the area does not have."""
_MISSING = ("", "N/A")


@dataclass(frozen=True)
class _Output:
    """What one type generated in one interval."""

    start_s: float
    seconds: float
    kind: str
    megawatts: float | None
    """None where the publisher has no value."""
    line: int


def matches(table: Table) -> bool:
    """Whether the head is of such a file."""
    return table.has(_LIBRARY) or _clock(table) is not None


def read(table: Table, zone: str | None, factors: Factors) -> tuple[str, list[Hour]]:
    """The zone, and the intensity of its intervals.

    An interval in which a value is missing, of a type that has values elsewhere, is left out.
    Raises `UsageError` for a cell that is no number or no time, several zones without a choice,
    and a type that generated and has no factor.
    """
    chosen = one_zone(_areas(table), None, table.name) if zone is None else zone
    outputs = list(_outputs(table, chosen))
    if not outputs:
        chosen = one_zone(_areas(table), chosen, table.name)  # which says what there is
    active = {one.kind for one in outputs if one.megawatts}
    lacking = sorted(active - factors.g_per_kwh.keys())
    if lacking:
        raise UsageError(
            f"{factors.name} has no factor of {', '.join(lacking)}, and {table.name} has their "
            "generation; add them with their sources"
        )
    intervals: dict[float, list[_Output]] = {}
    for one in outputs:
        intervals.setdefault(one.start_s, []).append(one)
    hours = [
        hour
        for start, parts in intervals.items()
        if (hour := _hour(start, parts, active, factors, table.name)) is not None
    ]
    return chosen, hours


def _hour(
    start: float, parts: list[_Output], active: set[str], factors: Factors, name: str
) -> Hour | None:
    kinds = [one.kind for one in parts]
    if len(kinds) > len(set(kinds)):
        lines = " and ".join(str(one.line) for one in parts if kinds.count(one.kind) > 1)
        raise UsageError(f"{name}, lines {lines}: one type and interval twice; keep one of them")
    if any(one.megawatts is None and one.kind in active for one in parts):
        return None
    output = {one.kind: max(one.megawatts or 0.0, 0.0) for one in parts}
    total = sum(output.values())
    if not total:
        return None
    grams = sum(value * factors.g_per_kwh[kind] for kind, value in output.items() if value)
    return Hour(start, start + parts[0].seconds, grams / total, parts[0].line)


def _clock(table: Table) -> str | None:
    """The column of intervals in an export of the web page; None in another file."""
    if not table.has(_EXPORT):
        return None
    return next((column for column in (_UTC, _CET) if column in table.columns), None)


def _clock_zone(column: str) -> tzinfo:
    if column == _UTC:
        return UTC
    try:
        return ZoneInfo("Europe/Brussels")
    except ZoneInfoNotFoundError:
        raise UsageError(
            "this system has no time zones; pip install tzdata, or export the file in UTC"
        ) from None


def _areas(table: Table) -> set[str]:
    """The zones of a file, which may have millions of rows."""
    return {_area(row) for row in table.rows()}


def _area(row: Row) -> str:
    """The zone of a row, as the web page writes it."""
    return row.text("Area") or f"{row.text('AreaTypeCode')}|{row.text('AreaMapCode')}"


def _outputs(table: Table, zone: str) -> Iterator[_Output]:
    """Every value of `zone`."""
    clock = _clock(table)
    rows = (row for row in table.rows() if _area(row) == zone)
    return _of_library(rows) if clock is None else _of_export(rows, clock)


def _of_library(rows: Iterable[Row]) -> Iterator[_Output]:
    for row in rows:
        code = row.text("ResolutionCode")
        minutes = re.fullmatch(r"PT(15|30|60)M", code)
        if minutes is None:
            raise row.error("ResolutionCode", code, "PT15M, PT30M or PT60M")
        value = _megawatts(row, "ActualGenerationOutput[MW]")
        kind, seconds = row.text("ProductionType"), 60.0 * int(minutes[1])
        yield _Output(row.utc("DateTime(UTC)"), seconds, kind, value, row.line)


def _of_export(rows: Iterable[Row], clock: str) -> Iterator[_Output]:
    seen: set[tuple[str, str]] = set()
    local = _clock_zone(clock)
    for row in rows:
        kind, text = row.text("Production Type"), row.text(clock)
        found = _INTERVAL.fullmatch(text)
        if found is None:
            raise row.error(clock, text, '"01/01/2026 00:00:00 - 01/01/2026 01:00:00"')
        start, end = (_naive(row, clock, found[name]) for name in ("start", "end"))
        again = (kind, found["start"]) in seen  # the hour that the clock is set back over
        seen.add((kind, found["start"]))
        zone = _MARKS.get(found["mark"] or "", local)
        moment = start.replace(tzinfo=zone, fold=int(again and found["mark"] is None))
        length = (end - start).total_seconds()
        if not -3600 < length <= 7200:  # an hour less or more where the clock changes
            raise row.error(clock, text, "an hour or less")
        seconds = length % 3600 or 3600.0
        value = _megawatts(row, "Generation (MW)")
        yield _Output(moment.timestamp(), seconds, kind, value, row.line)


def _naive(row: Row, column: str, text: str) -> datetime:
    shape = "%d/%m/%Y %H:%M:%S" if text.count(":") == 2 else "%d/%m/%Y %H:%M"
    try:
        return datetime.strptime(text, shape)
    except ValueError:
        raise row.error(column, text, "a time such as 01/01/2026 00:00:00") from None


def _megawatts(row: Row, column: str) -> float | None:
    text = row.text(column)
    if text in _MISSING:
        return None
    return 0.0 if text in _NOT_EXPECTED else row.number(column)
