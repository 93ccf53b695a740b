"""When a window was open: its start by the wall clock, its length by a clock that only rises."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Span:
    """One window of a phase."""

    began_at: str
    """Date and time in UTC, ISO 8601 with milliseconds."""
    duration_s: float
    joules: float | None
    """IT energy; None where a domain could not be read."""

    @property
    def start_s(self) -> float | None:
        """Seconds since 1970 in UTC; None where `began_at` is no time with a zone."""
        try:
            began = datetime.fromisoformat(self.began_at)
        except ValueError:
            return None
        return None if began.tzinfo is None else began.timestamp()


def time_text(seconds: float) -> str:
    """Seconds since 1970 as `began_at` has them: "2026-11-28T01:00:00.000+00:00"."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def hour_text(seconds: float) -> str:
    """Seconds since 1970 for people: "2026-11-28 01:00 UTC"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
