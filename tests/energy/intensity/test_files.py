import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from energybench.energy.intensity.files import read_hours
from energybench.energy.intensity.hours import HourlyIntensity
from energybench.energy.spans import Span
from energybench.errors import UsageError

MAPS = (
    *("Datetime (UTC)", "Country", "Zone name", "Zone id"),
    *("Carbon intensity gCO₂eq/kWh (direct)", "Carbon intensity gCO₂eq/kWh (Life cycle)"),
    *("Carbon-free energy percentage (CFE%)", "Renewable energy percentage (RE%)"),
    *("Data source", "Data estimated", "Data estimation method"),
)
LIBRARY = (
    *("DateTime(UTC)", "ResolutionCode", "AreaCode", "AreaDisplayName", "AreaTypeCode"),
    *("AreaMapCode", "ProductionType", "ActualGenerationOutput[MW]", "ActualConsumption[MW]"),
    "UpdateTime(UTC)",
)
BRITISH = (
    *("Datetime (UTC)", "Actual Carbon Intensity (gCO2/kWh)"),
    *("Forecast Carbon Intensity (gCO2/kWh)", "Index"),
)
FACTORS = ("production type", "g_per_kwh", "source")


def table(path: Path, head: Sequence[str], *rows: Sequence[object], tab: bool = False) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if tab else ",")
        writer.writerows([head, *rows])
    return path


def maps(time: str, grams: object, zone: str = "FR", estimated: str = "false") -> list[object]:
    return [time, "France", "France", zone, 20, grams, 90, 30, "rte", estimated, ""]


def library(time: str, kind: str, megawatts: object, zone: str = "CTY") -> list[object]:
    return [time, "PT60M", "10YFR", "France", zone, "FR", kind, megawatts, "", time]


def factors(tmp_path: Path, **grams: float) -> Path:
    rows = [(kind.replace("_", " "), value, "IPCC 2014") for kind, value in grams.items()]
    return table(tmp_path / "factors.csv", FACTORS, *rows)


def grams(hours: HourlyIntensity, began_at: str, minutes: float = 0.0) -> float | str | None:
    """g/kWh of one window, or the reason."""
    seconds = 60.0 * minutes
    mean = hours.mean([Span(began_at, seconds, 1.0)], seconds)
    return mean.reason if mean.kg_per_kwh is None else round(1000 * mean.kg_per_kwh, 6)


def test_electricity_maps_by_the_hour_with_the_life_cycle(tmp_path: Path) -> None:
    path = table(
        tmp_path / "fr.csv",
        MAPS,
        maps("2026-11-28 00:00:00", 40),
        maps("2026-11-28 01:00:00", 60, estimated="true"),
    )
    hours = read_hours(path)
    assert (hours.facts.country, hours.facts.kg_per_kwh) == ("FR", None)
    assert hours.facts.source.startswith("Electricity Maps, life cycle, fr.csv (")
    assert grams(hours, "2026-11-28T00:15:00+00:00", 30) == 40
    assert grams(hours, "2026-11-28T01:45:00+01:00", 30) == 50, "Paris is an hour ahead of UTC"
    known = [Span("2026-11-28T00:15:00+00:00", 60.0, 1.0)]
    assert not hours.mean(known, 60.0).estimated
    assert hours.mean([*known, Span("2026-11-28T01:15:00+00:00", 60.0, 1.0)], 120.0).estimated


def test_an_older_file_of_electricity_maps_has_other_capitals(tmp_path: Path) -> None:
    head = (
        *("Datetime (UTC)", "Country", "Zone Name", "Zone Id"),
        *("Carbon Intensity gCO₂eq/kWh (direct)", "Carbon Intensity gCO₂eq/kWh (LCA)"),
        *("Low Carbon Percentage", "Renewable Percentage", "Data Source", "Data Estimated"),
    )
    row = ["2023-01-01 00:00:00", "France", "France", "FR", 30, 55, 90, 30, "rte", "false"]
    assert grams(read_hours(table(tmp_path / "old.csv", head, row)), "2023-01-01T00:30Z") == 55


def test_one_zone_of_several_must_be_named(tmp_path: Path) -> None:
    time = "2026-11-28 00:00:00"
    path = table(tmp_path / "two.csv", MAPS, maps(time, 40), maps(time, 400, zone="DE"))
    with pytest.raises(UsageError, match=r"several zones \(DE, FR\); name one with intensity-zone"):
        read_hours(path)
    with pytest.raises(UsageError, match="no zone 'PL'; it has DE, FR"):
        read_hours(path, "PL")
    assert grams(read_hours(path, "DE"), "2026-11-28T00:30Z") == 400


@pytest.mark.parametrize(
    ("head", "times"),
    [
        (("DATETIME", "GAS", "CARBON_INTENSITY"), ("2026-03-29T00:30:00", "2026-03-29T01:00:00")),
        (
            (BRITISH[0], BRITISH[2], BRITISH[1]),
            ("2026-03-29T00:30Z", "2026-03-29T01:00Z"),
        ),
    ],
)
def test_great_britain_by_the_half_hour_in_utc_also_when_the_clock_changes(
    tmp_path: Path, head: tuple[str, ...], times: tuple[str, str]
) -> None:
    path = table(tmp_path / "gb.csv", head, (times[0], 1, 100), (times[1], 1, 200))
    hours = read_hours(path)
    assert hours.facts.country == "GB"
    assert "direct" in hours.facts.source
    assert grams(hours, "2026-03-29T00:45:00+00:00", 30) == 150
    assert grams(hours, "2026-03-29T02:15:00+01:00", 10) == 200, "summer time, an hour ahead"
    assert grams(hours, "2026-03-29T01:30Z") == "gb.csv has no intensity at 2026-03-29 01:30 UTC"


def test_a_forecast_is_no_value(tmp_path: Path) -> None:
    rows = [("2026-11-28T00:00Z", 100, 90), ("2026-11-28T00:30Z", "", 90)]
    hours = read_hours(table(tmp_path / "gb.csv", BRITISH, *rows))
    assert grams(hours, "2026-11-28T00:10Z") == 100
    assert grams(hours, "2026-11-28T00:40Z") == "gb.csv has no intensity at 2026-11-28 00:40 UTC"


def test_entsoe_needs_declared_factors_and_keeps_their_source(tmp_path: Path) -> None:
    path = table(
        tmp_path / "entsoe.csv",
        LIBRARY,
        library("2026-11-28 00:00:00", "Nuclear", 300),
        library("2026-11-28 00:00:00", "Fossil Gas", 100),
        library("2026-11-28 00:00:00", "Solar", 0),
        library("2026-11-28 00:00:00", "Nuclear", 999, zone="BZN"),
        library("2026-11-28 01:00:00", "Nuclear", ""),
        library("2026-11-28 01:00:00", "Fossil Gas", 100),
        tab=True,
    )
    with pytest.raises(UsageError, match=r"no emissions; declare .* with intensity-factors"):
        read_hours(path, "CTY|FR")
    with pytest.raises(UsageError, match="no factor of Fossil Gas"):
        read_hours(path, "CTY|FR", factors(tmp_path, Nuclear=12))
    with pytest.raises(UsageError, match=r"several zones \(BZN\|FR, CTY\|FR\)"):
        read_hours(path, None, factors(tmp_path, Nuclear=12, Fossil_Gas=490))
    with pytest.raises(UsageError, match=r"no zone 'CTY\|DE'; it has BZN\|FR, CTY\|FR"):
        read_hours(path, "CTY|DE", factors(tmp_path, Nuclear=12, Fossil_Gas=490))
    hours = read_hours(path, "CTY|FR", factors(tmp_path, Nuclear=12, Fossil_Gas=490))
    assert grams(hours, "2026-11-28T00:30Z") == (3 * 12 + 490) / 4
    assert grams(hours, "2026-11-28T01:30Z") == (
        "entsoe.csv has no intensity at 2026-11-28 01:30 UTC"
    ), "nuclear power has no value in that hour"
    assert "without imports, factors of IPCC 2014, entsoe.csv" in hours.facts.source


@pytest.mark.parametrize("marks", [("", "", "", ""), (" (CEST)", " (CEST)", " (CET)", "")])
def test_the_hour_that_the_clock_is_set_back_over_counts_twice(
    tmp_path: Path, marks: tuple[str, ...]
) -> None:
    """On 2026-10-25 three o'clock in Brussels became two o'clock."""
    local = ("01:00", "02:00", "02:00", "03:00")
    ends = ("02:00", "02:00", "03:00", "04:00")
    rows = [
        (f"25/10/2026 {start}:00{mark} - 25/10/2026 {end}:00", "BZN|FR", "Nuclear", 100 * number)
        for number, (start, end, mark) in enumerate(zip(local, ends, marks, strict=True), 1)
    ]
    gas = [(*row[:2], "Fossil Gas", 100) for row in rows]
    absent = [(*row[:2], "Fossil Peat", "n/e") for row in rows]
    head = ("MTU (CET/CEST)", "Area", "Production Type", "Generation (MW)")
    path = table(tmp_path / "export.csv", head, *rows, *gas, *absent)
    hours = read_hours(path, None, factors(tmp_path, Nuclear=0, Fossil_Gas=100))
    found = [grams(hours, f"2026-10-{day}:30Z") for day in ("24T23", "25T00", "25T01", "25T02")]
    assert found == [50, pytest.approx(100 / 3), 25, 20]
    assert (
        grams(hours, "2026-10-25T03:00Z") == "export.csv has no intensity at 2026-10-25 03:00 UTC"
    )


def test_a_file_of_days_has_no_hours(tmp_path: Path) -> None:
    path = table(tmp_path / "days.csv", MAPS, maps("2026-11-27", 40), maps("2026-11-28", 50))
    with pytest.raises(UsageError, match=r"rows 24 hours apart.*take the hourly file"):
        read_hours(path)
    head = ("MTU (UTC)", "Area", "Production Type", "Generation (MW)")
    row = ("28/11/2026 00:00:00 - 29/11/2026 00:00:00", "BZN|FR", "Nuclear", 1)
    with pytest.raises(UsageError, match="not an hour or less"):
        read_hours(table(tmp_path / "day.csv", head, row), None, factors(tmp_path, Nuclear=1))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no zone"),
        ([maps("2026-11-28 00:00:00", "")], "no zone"),
        ([maps("2026-11-28 00:00:00", -5)], "line 2: -5 g/kWh is no carbon intensity"),
        ([maps("2026-11-28 00:00:00", 4e7)], "is no carbon intensity"),
        ([maps("2026-11-28 00:00:00", "nan")], "is no carbon intensity"),
        ([maps("2026-11-28 00:00:00", "low")], "line 2: .* is 'low', not a number"),
        ([maps("28 November", 40)], "line 2: .* is '28 November', not a time"),
        ([maps("2026-11-28 00:00:00", 40)] * 2, "lines 2 and 3: both have an intensity at"),
        ([maps(f"2026-11-28 0{n // 60}:{n % 60:02}", 40) for n in (0, 60, 90)] * 2, "lines 2 and"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, rows: list[list[object]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_hours(table(tmp_path / "wrong.csv", MAPS, *rows))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; name a CSV file"),
        (b"\n\n", "is empty"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        (b"hour,grams\n1,2\n", "has the columns hour, grams, which no known format has"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_hours(path)
    with pytest.raises(UsageError, match=r"cannot read .*; name a CSV file"):
        read_hours(tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("Nuclear", -1, "IPCC 2014"), "line 2: g_per_kwh is '-1', not a number of 0 to"),
        (("Nuclear", "", "IPCC 2014"), "line 2: g_per_kwh is empty"),
        (("Nuclear", 12, ""), "line 2: source is empty, not where the factor is from"),
    ],
)
def test_a_factor_without_a_source_is_refused(
    tmp_path: Path, row: tuple[object, ...], message: str
) -> None:
    path = table(tmp_path / "e.csv", LIBRARY, library("2026-11-28", "Nuclear", 1), tab=True)
    declared = table(tmp_path / "factors.csv", FACTORS, row)
    with pytest.raises(UsageError, match=message):
        read_hours(path, None, declared)
    other = table(tmp_path / "other.csv", ("a", "b"), (1, 2))
    with pytest.raises(UsageError, match="needs the columns production type, g_per_kwh, source"):
        read_hours(path, None, other)


def test_factors_are_for_generation_alone(tmp_path: Path) -> None:
    path = table(tmp_path / "fr.csv", MAPS, maps("2026-11-28 00:00:00", 40))
    with pytest.raises(UsageError, match="intensity-factors are for ENTSO-E's generation"):
        read_hours(path, None, factors(tmp_path, Nuclear=12))
