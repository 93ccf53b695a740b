"""Energy per call of a pytest-benchmark test, as its JSON keeps it in `extra_info["energy"]`."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from energybench.energy.per_call import PerCall
from energybench.energy.readings import EnergyReading
from energybench.energy.source import Kind, kind_of_source
from energybench.errors import UsageError
from energybench.records.schema import read_versioned

KEY = "energy"
"""Key in `extra_info`."""
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CallEnergy:
    """Energy of the calls of one test. Energies are joules, durations seconds."""

    joules_per_call: float | None
    """Over all domains; None where one of them, or every one, could not be read."""
    domains: dict[str, float | None]
    """Joules per call and domain."""
    watts: float | None
    """Mean power of the window."""
    calls: int
    """Calls within the window."""
    window_s: float
    sources: dict[str, str] = field(default_factory=dict)
    """Domain -> name of the source of its energy."""
    flags: list[str] = field(default_factory=list)
    """As in `EnergyReading`."""
    unavailable: dict[str, str] = field(default_factory=dict)
    """Meter or domain -> why it gave no reading."""
    kinds: dict[str, Kind] = field(default_factory=dict)
    """Domain -> kind of its source, where the source's name alone does not tell it."""
    repeats: list[float] = field(default_factory=list)
    """Joules per call of each part of the window that is long enough for the meters."""
    between_s: float = 0.0
    """Seconds of the window between the calls; their energy is in no call's."""
    further_calls: int = 0
    """Calls beyond pytest-benchmark's own, because the meters need a longer window."""
    note: str | None = None
    """Why the calls were not repeated as the meters need; None where they were."""
    assumptions: str | None = None
    """The watts and the formula of an estimate, in one line; None for a measurement."""
    schema_version: int = SCHEMA_VERSION

    @property
    def kind(self) -> str:
        """`measured`, `estimated` or `replayed`; several are joined by "+", "none" without any."""
        kinds = {
            self.kinds.get(domain) or kind_of_source(name) for domain, name in self.sources.items()
        }
        return "+".join(sorted(kinds)) or "none"

    @property
    def source(self) -> str:
        """Kind and names of the sources: "estimated: codecarbon_estimate"; "none" without any."""
        names = "+".join(sorted(set(self.sources.values())))
        return f"{self.kind}: {names}" if names else "none"

    @property
    def why_missing(self) -> str | None:
        """Why there are no joules per call, in one line; None where there are."""
        if self.joules_per_call is not None:
            return None
        return EnergyReading(
            self.window_s, self.domains, self.sources, unavailable=self.unavailable
        ).why_missing

    def with_assumptions(self, assumptions: object) -> "CallEnergy":
        """Return these energies with the meters' assumptions, if any of them is an estimate."""
        if assumptions is None or "estimated" not in self.kind:
            return self
        return replace(self, assumptions=str(assumptions))

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


def call_energy(found: PerCall, further_calls: int = 0, note: str | None = None) -> CallEnergy:
    """Return what is kept of a measurement, but for the assumptions of its meters."""
    reading = found.reading
    return CallEnergy(
        joules_per_call=found.it_joules,
        domains=found.joules,
        watts=reading.watts,
        calls=found.calls,
        window_s=reading.duration_s,
        sources=reading.sources,
        flags=reading.flags,
        unavailable=reading.unavailable,
        kinds=reading.kinds,
        repeats=list(found.repeats),
        between_s=found.between_s,
        further_calls=further_calls,
        note=note,
    )


def calls_in(benchmarks: Iterable[Any]) -> tuple[dict[str, CallEnergy], list[str]]:
    """Return the energies of a file's benchmarks by the tests' full names, and lines on bad ones.

    `benchmarks` is the list in pytest-benchmark's JSON. Another tool's use of the key is left
    alone; an entry of ours that makes no sense is named. Of two with one name the last counts.
    """
    found: dict[str, CallEnergy] = {}
    notes: list[str] = []
    for benchmark in benchmarks:
        data = (benchmark.get("extra_info") or {}).get(KEY)
        if not isinstance(data, dict) or "joules_per_call" not in data:
            continue
        name = str(benchmark.get("fullname", benchmark.get("name")))
        try:
            found[name] = _read(data)
        except UsageError as error:
            notes.append(f"the energy of {name} cannot be read: {error}")
    return found, notes


def _read(data: dict[str, Any]) -> CallEnergy:
    """Return the energy in `data`; raises `UsageError` for anything else."""
    versioned = {"schema_version": SCHEMA_VERSION, **data}  # the first files had no version
    energy = read_versioned(versioned, CallEnergy, "energy per call", SCHEMA_VERSION)
    numbers = [value for value in (energy.joules_per_call, *energy.repeats) if value is not None]
    if not all(math.isfinite(value) and value >= 0.0 for value in numbers):
        raise UsageError("not an energybench energy per call: joules are no numbers of at least 0")
    return energy
