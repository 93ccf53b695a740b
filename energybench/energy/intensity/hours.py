"""The carbon intensity of a grid, hour by hour, and its mean over windows."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from energybench.energy.carbon import CarbonIntensity, MeanIntensity
from energybench.energy.spans import Span, hour_text
from energybench.errors import UsageError

MOST_G_PER_KWH = 10_000.0
"""Beyond any fuel: an hour above it is in another unit."""
_LONGEST_S = 3600.0
"""Rows further apart are means of days or months, which say nothing of an hour."""
_KNOWN_SHARE = 0.99
"""Share of a phase's seconds whose times must be known; less is a record that lacks some."""


@dataclass(frozen=True)
class Hour:
    """The intensity from one moment to another; not longer than an hour."""

    start_s: float
    """Seconds since 1970, UTC."""
    end_s: float
    g_per_kwh: float
    """Grams of CO2 equivalent."""
    line: int
    """Line of the file, for messages."""
    estimated: bool = False
    """Whether the publisher calls it an estimate."""


class HourlyIntensity:
    """The hours of one grid. A time between two of them is unknown, never interpolated."""

    def __init__(self, facts: CarbonIntensity, hours: Iterable[Hour], name: str) -> None:
        """Sort the hours of the file called `name`.

        Raises `UsageError` without any hour, for one below 0 or beyond any fuel, and for two that
        overlap.
        """
        self.facts = facts
        self._name = name
        self._hours = sorted(hours, key=lambda one: one.start_s)
        self._check()
        self._starts = [one.start_s for one in self._hours]

    def _check(self) -> None:
        if not self._hours:
            raise UsageError(f"{self._name} has no hour with an intensity; name another file")
        for one in self._hours:
            if not 0 <= one.g_per_kwh <= MOST_G_PER_KWH:
                raise UsageError(
                    f"{self._name}, line {one.line}: {one.g_per_kwh:g} g/kWh is no carbon "
                    f"intensity; it is 0 to {MOST_G_PER_KWH:,.0f}"
                )
        for one, other in pairwise(self._hours):
            if other.start_s < one.end_s:
                raise UsageError(
                    f"{self._name}, lines {one.line} and {other.line}: both have an intensity at "
                    f"{hour_text(other.start_s)}; keep one of them"
                )

    def mean(self, spans: Sequence[Span], duration_s: float) -> MeanIntensity:
        """The intensity over the windows `spans` of a phase that took `duration_s` seconds.

        Each window is split at the hours by time, as if its power was constant. Windows count by
        their energy, or by their seconds where that is not known.
        """
        if sum(span.duration_s for span in spans) < _KNOWN_SHARE * duration_s or not spans:
            return MeanIntensity(None, "the record does not say when its windows were open")
        joules = [span.joules for span in spans]
        if None in joules or not any(joules):
            joules = [span.duration_s for span in spans]
        total, weight, estimated = 0.0, 0.0, False
        for span, share in zip(spans, joules, strict=True):
            found = self._over(span)
            if isinstance(found, str):
                return MeanIntensity(None, found)
            total += (share or 0.0) * found[0]
            weight += share or 0.0
            estimated = estimated or found[1]
        if not weight:
            return MeanIntensity(None, "its windows took no time")
        return MeanIntensity(total / weight / 1000.0, estimated=estimated)

    def _over(self, span: Span) -> tuple[float, bool] | str:
        """The mean g/kWh over one window and whether an hour is an estimate, or why not."""
        start_s = span.start_s
        if start_s is None:
            return f"{span.began_at!r} is no time with a zone"
        end_s = start_s + span.duration_s
        moment, grams, estimated = start_s, 0.0, False
        place = bisect_right(self._starts, start_s) - 1
        while True:
            hour = self._hours[place] if 0 <= place < len(self._hours) else None
            if hour is None or not hour.start_s <= moment < hour.end_s:
                return f"{self._name} has no intensity at {hour_text(moment)}"
            until = min(end_s, hour.end_s)
            grams += hour.g_per_kwh * (until - moment)
            estimated = estimated or hour.estimated
            if until >= end_s:
                length = end_s - start_s
                return (grams / length if length > 0 else hour.g_per_kwh), estimated
            moment, place = until, place + 1


def step_of(starts: Iterable[float], name: str, usual_s: float = _LONGEST_S) -> float:
    """Seconds from one row of the file `name` to the next: the smallest distance of two starts.

    `usual_s` is that of a single row. Raises `UsageError` for rows over an hour apart.
    """
    ordered = sorted(set(starts))
    step = min((later - earlier for earlier, later in pairwise(ordered)), default=usual_s)
    if step > _LONGEST_S:
        raise UsageError(
            f"{name} has rows {step / 3600:g} hours apart, and an intensity by the hour needs rows "
            "of an hour or less; take the hourly file"
        )
    return step
