"""How the energy of a domain is known: measured, estimated, or replayed from a file."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["measured", "estimated", "replayed"]
"""A counter or sensor, a formula of load and time, or a trace that an earlier run left."""


@dataclass(frozen=True)
class Source:
    """The name and kind of a domain's source, for example `Source("rapl", "measured")`.

    Raises `ValueError` for a kind that is not one of `Kind`.
    """

    name: str
    kind: Kind

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            known = ", ".join(get_args(Kind))
            raise ValueError(f"source {self.name!r} has the kind {self.kind!r}; known: {known}")

    def __str__(self) -> str:
        return self.name


NVML_COUNTER = Source("nvml_counter", "measured")
NVML_POWER = Source("nvml_power", "measured")
RAPL = Source("rapl", "measured")
ZEUS = Source("zeus", "measured")
PERF = Source("perf", "measured")
"""RAPL's counters, read as events of Linux' perf."""
AMDSMI_COUNTER = Source("amdsmi_counter", "measured")
AMDSMI_POWER = Source("amdsmi_power", "measured")
INTEL_GPU = Source("intel_gpu", "measured")
HWMON_ENERGY = Source("hwmon_energy", "measured")
HWMON_POWER = Source("hwmon_power", "measured")
IPMI = Source("ipmi_dcmi", "measured")
REDFISH = Source("redfish", "measured")
SHELLY = Source("shelly", "measured")
TASMOTA = Source("tasmota", "measured")
CODECARBON = Source("codecarbon_estimate", "estimated")
DECLARED = Source("declared_estimate", "estimated")
"""CodeCarbon's formula, with watts that the user declared."""
REPLAY = Source("replay", "replayed")

_BUILT_IN = {
    source.name: source
    for source in (
        NVML_COUNTER,
        NVML_POWER,
        RAPL,
        ZEUS,
        PERF,
        AMDSMI_COUNTER,
        AMDSMI_POWER,
        INTEL_GPU,
        HWMON_ENERGY,
        HWMON_POWER,
        IPMI,
        REDFISH,
        SHELLY,
        TASMOTA,
        CODECARBON,
        DECLARED,
        REPLAY,
    )
}


def kind_of_source(name: str) -> Kind:
    """The kind of the source called `name`, as records and plain strings have it.

    A name that is not built in is an estimate if it says so, as "wall_estimate" does, and measured
    otherwise.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name].kind
    return "estimated" if "estimate" in name else "measured"


def as_source(said: "Source | str") -> Source:
    """A meter's word on a domain as a `Source`; a plain string is the name of one.

    Raises `TypeError` for anything else.
    """
    if isinstance(said, Source):
        return said
    if isinstance(said, str):
        return Source(said, kind_of_source(said))
    raise TypeError(f"{said!r} is not a source; give a Source, or its name as a string")


def names_an_estimate(names: Iterable[str]) -> bool:
    """Whether any of these names of sources is an estimate's."""
    return any(kind_of_source(name) == "estimated" for name in names)
