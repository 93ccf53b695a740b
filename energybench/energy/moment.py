"""What all open meters say at one moment."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """Counters of the domains, and the time; a window is between two of them."""

    time_ns: int
    joules: dict[str, float]
    background_cpu_s: float
    reasons: dict[str, str]
    """Domain -> why it has no joules at this moment."""
    silences: dict[str, tuple[int, str]]
    """Domain -> how often it was silent until now, and why the last time."""

    def difference(self, domain: str, end: "Moment") -> float | None:
        """Joules of a domain from here to `end`; None where one of both is not known."""
        silent = self.silences.get(domain) != end.silences.get(domain)
        if silent or domain not in self.joules or domain not in end.joules:
            return None
        return end.joules[domain] - self.joules[domain]
