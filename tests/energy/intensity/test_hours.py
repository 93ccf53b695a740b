import pytest

from energybench.energy.carbon import CarbonIntensity
from energybench.energy.intensity.hours import Hour, HourlyIntensity
from energybench.energy.spans import Span, time_text

START = 1_795_824_000.0
"""2026-11-28 00:00 UTC."""


def hourly(*grams: float | None) -> HourlyIntensity:
    """One hour after the other; None leaves one out."""
    hours = [
        Hour(START + 3600 * place, START + 3600 * (place + 1), value, place + 2)
        for place, value in enumerate(grams)
        if value is not None
    ]
    return HourlyIntensity(CarbonIntensity("FR", None, "a test"), hours, "fr.csv")


def span(hour: float, hours: float, joules: float | None = 1.0) -> Span:
    return Span(time_text(START + 3600 * hour), 3600 * hours, joules)


def test_a_window_over_hours_is_split_by_time() -> None:
    mean = hourly(100, 200, 400).mean([span(0.75, 1.5)], 5400.0)
    assert mean.kg_per_kwh == pytest.approx((0.25 * 0.1 + 1.0 * 0.2 + 0.25 * 0.4) / 1.5)
    assert hourly(100, 200).mean([span(0.0, 2.0)], 7200.0).kg_per_kwh == pytest.approx(0.15)


def test_windows_count_by_their_energy() -> None:
    two = [span(0.0, 0.5, 300.0), span(1.0, 0.5, 100.0)]
    assert hourly(100, 200).mean(two, 3600.0).kg_per_kwh == pytest.approx(0.125)
    unread = [span(0.0, 0.5, None), span(1.0, 1.0, 100.0)]
    assert hourly(100, 200).mean(unread, 5400.0).kg_per_kwh == pytest.approx(0.5 / 3)


def test_a_gap_under_a_window_is_null_with_the_reason() -> None:
    mean = hourly(100, None, 400).mean([span(0.5, 1.0)], 3600.0)
    assert mean.kg_per_kwh is None
    assert mean.reason == "fr.csv has no intensity at 2026-11-28 01:00 UTC"
    for early in (span(-1.0, 0.5), span(3.0, 0.1)):
        assert "has no intensity at" in str(hourly(100, 200).mean([early], 360.0).reason)


def test_times_that_are_not_known_are_null_with_the_reason() -> None:
    hours = hourly(100)
    reason = "the record does not say when its windows were open"
    assert hours.mean([], 10.0).reason == reason
    assert hours.mean([span(0.0, 0.1)], 720.0).reason == reason, "half of the phase"
    assert (
        hours.mean([Span("yesterday", 1.0, 1.0)], 1.0).reason
        == "'yesterday' is no time with a zone"
    )
    assert "no time with a zone" in str(
        hours.mean([Span("2026-11-28T00:00", 1.0, 1.0)], 1.0).reason
    )
