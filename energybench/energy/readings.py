"""Readings: the energy of one window, the state of devices, power over time.

Energies are joules, durations seconds. "Not available" is None with a reason beside it, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from energybench.energy.coverage import counted, total
from energybench.energy.source import Kind, kind_of_source
from energybench.energy.units import format_joules, format_seconds

IDLE = "idle power"
"""Key in `EnergyReading.unavailable` of the reason why idle power is not known."""
SHORT_SHARE = 0.01
"""The share of the time of several windows that may lie in windows too short for their meters."""
_SHORT = "short_window"


@dataclass(frozen=True)
class DeviceState:
    """A device at one moment; None for a fact that the device does not give."""

    temperature_c: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    """Why its clocks are lowered now: `power_cap`, `thermal`, `power_brake` and others."""
    throttled_s: float | None = None
    """Seconds since the driver was loaded in which power or temperature held the clocks down."""
    other_processes: int | None = None
    """Compute processes on the device that do not belong to the measured work."""


@dataclass(frozen=True)
class CpuUse:
    """CPU seconds within one window, summed over all logical processors that we may use."""

    own_s: float
    """CPU seconds of the measured process tree."""
    machine_s: float
    """CPU seconds of all processes on the machine, without idle and I/O wait."""
    steal_s: float
    """Seconds that a hypervisor gave to other virtual machines; 0 where there is none."""
    capacity_s: float
    """Logical processors of the machine x duration: all CPU seconds that there were."""

    @property
    def others_s(self) -> float:
        """CPU seconds of processes outside the measured tree."""
        return max(0.0, self.machine_s - self.own_s)

    def plus(self, other: "CpuUse") -> "CpuUse":
        """The use of two windows, or of two machines."""
        return CpuUse(
            self.own_s + other.own_s,
            self.machine_s + other.machine_s,
            self.steal_s + other.steal_s,
            self.capacity_s + other.capacity_s,
        )


@dataclass(frozen=True)
class EnergyReading:
    """Energy of one window."""

    duration_s: float
    joules: dict[str, float | None]
    """Gross joules per domain (`gpu:<id>`, `cpu:<package>`, `dram:<package>`, `wall:<meter>`)."""
    sources: dict[str, str]
    """Domain -> name of its source: `nvml_counter`, `rapl`, `codecarbon_estimate` and others."""
    flags: list[str] = field(default_factory=list)
    """`short_window`: shorter than the meter resolves. `throttled`: power or temperature held a
    device's clocks down. `contaminated`: other processes computed on a device, or used more of the
    processors than allowed, or a hypervisor withheld more than 2 % of them. `interrupted`: an
    exception left this phase of a script."""
    unavailable: dict[str, str] = field(default_factory=dict)
    """Meter or domain -> why it gave no reading; `idle power` -> why that is not known."""
    net_joules: dict[str, float | None] = field(default_factory=dict)
    """Joules per domain less its idle power x duration; empty if idle power was not measured."""
    devices: dict[str, dict[str, DeviceState]] = field(default_factory=dict)
    """Domain -> its state at `start` and `end`, if the window asked and the device told."""
    background_cpu_s: float = 0.0
    """CPU seconds that our meters' threads used within the window, without CodeCarbon's."""
    kinds: dict[str, Kind] = field(default_factory=dict)
    """Domain -> the kind of its source, where the source's name alone does not tell it."""
    cpu: CpuUse | None = None
    """Who used the processors meanwhile; None where that is not known."""

    @cached_property
    def it_joules(self) -> float | None:
        """Sum over the domains that count, see `coverage`; None if there is none, or one is None.

        Where a meter reads the whole machine, its domain alone counts.
        """
        return total(self.joules)

    @property
    def why_missing(self) -> str | None:
        """Why `it_joules` is None, in one line; None where it is known."""
        if self.it_joules is not None:
            return None
        unread = [domain for domain in counted(self.joules) if self.joules[domain] is None]
        names = unread or [name for name in self.unavailable if name != IDLE]
        reasons = (f"{name}: {self.unavailable.get(name, 'not read')}" for name in names)
        return "; ".join(reasons) or "no meter"

    @property
    def net_it_joules(self) -> float | None:
        """`it_joules` less the machine's idle energy; None if either is not known."""
        return total({domain: self.net_joules.get(domain) for domain in self.joules})

    @property
    def watts(self) -> float | None:
        """Mean IT power over the window."""
        joules = self.it_joules
        return None if joules is None or self.duration_s <= 0 else joules / self.duration_s

    def kind(self, domain: str) -> Kind:
        """Whether the energy of `domain` is measured, estimated or replayed.

        Raises `KeyError` for a domain that was not read.
        """
        return self.kinds.get(domain) or kind_of_source(self.sources[domain])

    @property
    def estimated(self) -> bool:
        """Whether the energy of any domain is an estimate."""
        return any(self.kind(domain) == "estimated" for domain in self.sources)

    @property
    def source(self) -> str:
        """The distinct names of the sources, joined by "+"; "none" without any."""
        return "+".join(sorted(set(self.sources.values()))) or "none"


@dataclass(frozen=True)
class Preparation:
    """Work that was done once, ahead of all cells, and its energy."""

    what: str
    reading: EnergyReading

    def __str__(self) -> str:
        seconds, joules = self.reading.duration_s, self.reading.it_joules
        sources = self.reading.source if self.reading.sources else "no meter"
        took = f"{format_seconds(seconds)}, {format_joules(joules)} ({sources})"
        return f"{self.what}: {took}, in no cell's energy"


def added(first: EnergyReading, *others: EnergyReading) -> EnergyReading:
    """One reading of windows that followed each other.

    A domain that one window could not read has no sum; neither has `cpu`. The flag `short_window`
    stays if windows with it are more than `SHORT_SHARE` of the time. Devices have their state at
    the start of the first window and at the end of the last.
    """
    total = first
    for other in others:
        devices = {name: dict(ends) for name, ends in total.devices.items()}
        for name, ends in other.devices.items():
            devices[name] = {"start": devices.get(name, ends)["start"], "end": ends["end"]}
        total = EnergyReading(
            duration_s=total.duration_s + other.duration_s,
            joules=_sums(total.joules, other.joules),
            sources={**total.sources, **other.sources},
            flags=_joint_flags(total, other),
            unavailable={**total.unavailable, **other.unavailable},
            net_joules=_sums(total.net_joules, other.net_joules),
            devices=devices,
            background_cpu_s=total.background_cpu_s + other.background_cpu_s,
            kinds={**total.kinds, **other.kinds},
            cpu=_cpu_sum(total.cpu, other.cpu),
        )
    return total


def _cpu_sum(one: CpuUse | None, other: CpuUse | None) -> CpuUse | None:
    return None if one is None or other is None else one.plus(other)


def _joint_flags(first: EnergyReading, second: EnergyReading) -> list[str]:
    flags = list(dict.fromkeys([*first.flags, *second.flags]))
    short_s = sum(one.duration_s for one in (first, second) if _SHORT in one.flags)
    if _SHORT in flags and short_s <= SHORT_SHARE * (first.duration_s + second.duration_s):
        flags.remove(_SHORT)
    return flags


def _sums(
    some: Mapping[str, float | None], more: Mapping[str, float | None]
) -> dict[str, float | None]:
    sums: dict[str, float | None] = {}
    for domain in {**some, **more}:
        one, other = some.get(domain), more.get(domain)
        sums[domain] = None if one is None or other is None else one + other
    return sums


@dataclass(frozen=True)
class PowerTrace:
    """Mean power over a measurement, sample by sample."""

    period_s: float
    time_s: list[float]
    """End of each sample, seconds since the trace began."""
    watts: dict[str, list[float | None]]
    """Domain -> mean watts of each sample; None where it could not be read."""
    marks: dict[str, float] = field(default_factory=dict)
    """Phase -> its start, seconds since the trace began."""
