"""One reading out of the readings of several ranks: each domain once, the longest duration."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TypeVar

from energybench.energy.coverage import WHOLE, kind_of
from energybench.energy.readings import CpuUse, EnergyReading

T = TypeVar("T")


def over_nodes(readings: Mapping[int, EnergyReading], nodes: Sequence[int]) -> EnergyReading:
    """The energy of a window that all ranks shared.

    `readings` maps a rank to its reading, `nodes` has the machine of each rank. A domain that
    several ranks of one machine have read counts once. GPUs have names of their own; with several
    machines every other domain gets its machine's number, for example `cpu:0@node1`. A machine
    without a reading has one domain that could not be read, so that the sum is not known. The use
    of the processors is the sum over the machines; None if one of them does not know it.
    """
    several = len(set(nodes)) > 1
    joules: dict[str, float | None] = {}
    cpu: dict[int, CpuUse] = {}
    net_joules: dict[str, float | None] = {}
    sources, unavailable, flags, devices, kinds = {}, {}, {}, {}, {}
    for rank, reading in sorted(readings.items()):
        at = f"@node{nodes[rank]}" if several else ""
        names = {domain: _global(domain, at) for domain in reading.joules}
        new = {domain: name for domain, name in names.items() if name not in joules}
        joules.update({name: reading.joules[domain] for domain, name in new.items()})
        sources.update(_renamed(reading.sources, new))
        kinds.update(_renamed(reading.kinds, new))
        net_joules.update(_renamed(reading.net_joules, new))
        devices.update(_renamed(reading.devices, new))
        if reading.joules or reading.unavailable:  # others' meters are not open
            reasons = reading.unavailable.items()
            unavailable.update({names.get(who, f"{who}{at}"): why for who, why in reasons})
        flags.update(dict.fromkeys(reading.flags))
        if reading.cpu is not None:
            cpu.setdefault(nodes[rank], reading.cpu)
    if several:
        read = {nodes[rank] for rank, reading in readings.items() if reading.joules}
        for node in sorted(set(nodes) - read):
            whole = f"{WHOLE}:all@node{node}"
            joules[whole] = None
            unavailable[whole] = "no rank of this machine has read a meter"
    return EnergyReading(
        duration_s=max(reading.duration_s for reading in readings.values()),
        joules=joules,
        sources=sources,
        flags=list(flags),
        unavailable=unavailable,
        net_joules=net_joules,
        devices=devices,
        background_cpu_s=sum(reading.background_cpu_s for reading in readings.values()),
        kinds=kinds,
        cpu=reduce(CpuUse.plus, cpu.values()) if cpu.keys() == set(nodes) else None,
    )


def global_names(values: Sequence[Mapping[str, T]], nodes: Sequence[int]) -> dict[str, T]:
    """The values of all ranks by domain, under the names that `over_nodes` gives to domains."""
    several = len(set(nodes)) > 1
    found: dict[str, T] = {}
    for rank, own in enumerate(values):
        for domain, value in own.items():
            found.setdefault(_global(domain, f"@node{nodes[rank]}" if several else ""), value)
    return found


def _global(domain: str, at: str) -> str:
    """The name of `domain` among several machines; `at` is its machine's suffix."""
    return domain if kind_of(domain) == "gpu" else f"{domain}{at}"


def _renamed(values: Mapping[str, T], names: Mapping[str, str]) -> dict[str, T]:
    """The values of the domains in `names`, under their new names."""
    return {names[domain]: value for domain, value in values.items() if domain in names}
