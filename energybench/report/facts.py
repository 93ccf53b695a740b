"""The facts of a section: its machine, meters, data and protocol."""

from collections.abc import Callable
from typing import Any

from energybench.records.record import RunRecord
from energybench.report.likeness import assumed
from energybench.report.sections import Section
from energybench.report.text import number


def facts(section: Section) -> list[tuple[str, str]]:
    """Return (name, value) of machine, meters, data and protocol, with all values that differ."""
    records = [*section.finished, *section.failed]
    of_the_run = [("commit", section.commit), ("measured on", section.measured_on)]
    return [(name, text) for name, text in of_the_run if text] + [
        (name, "; ".join(found))
        for name, read in _FACTS
        if (found := list(dict.fromkeys(text for one in records if (text := read(one)))))
    ]


def _gpus(record: RunRecord) -> str:
    gpus = record.machine.get("gpus") or []
    return ", ".join(
        f"{gpu.get('name')} ({number(gpu.get('memory_gib'))} GiB, "
        f"limit {number(gpu.get('power_limit_w'))} W)"
        for gpu in gpus
    )


def _cpu(record: RunRecord) -> str:
    machine = record.machine
    return (
        f"{machine.get('cpu')}, {machine.get('logical_cores')} cores, {machine.get('ram_gib')} GiB"
    )


def _versions(record: RunRecord) -> str:
    machine = record.machine
    named = {"Python": machine.get("python"), "NVIDIA driver": machine.get("nvidia_driver")}
    all_of_them: dict[str, Any] = named | (machine.get("versions") or {})
    return ", ".join(f"{name} {version}" for name, version in all_of_them.items() if version)


def _sources(record: RunRecord) -> str:
    reading = record.main
    return (
        ", ".join(f"{domain}: {how}" for domain, how in reading.sources.items()) if reading else ""
    )


def _unavailable(record: RunRecord) -> str:
    reading = record.main
    found = reading.unavailable if reading else {}
    return ", ".join(f"{meter}: {reason}" for meter, reason in found.items())


def _idle(record: RunRecord) -> str:
    if not record.idle_watts:
        return ""
    return f"{number(sum(record.idle_watts.values()))} W"


def _data(record: RunRecord) -> str:
    data = record.dataset
    if record.script is not None:
        return ""
    sizes = ", ".join(f"{count} {split}" for split, count in data.splits.items())
    if "image_size" in data.details:
        return f"{data.name} at {data.details['image_size']} pixels ({sizes})"
    plain = (item for item in data.details.items() if not isinstance(item[1], list | dict))
    details = "".join(f", {name} {value}" for name, value in plain)
    return f"{data.name}{details} ({sizes} {data.items})"


def _protocol(record: RunRecord) -> str:
    left_out = ("device", "device_name", "pue")
    protocol = vars(record.protocol)
    kept = {name: value for name, value in protocol.items() if name not in left_out}
    known = (item for item in kept.items() if item[1] is not None)
    return ", ".join(f"{name} {value}" for name, value in known)


def _told(record: RunRecord) -> str:
    """Return what a script says of itself."""
    settings = {} if record.script is None else record.script.settings
    return ", ".join(f"{name} {value}" for name, value in settings.items())


_FACTS: tuple[tuple[str, Callable[[RunRecord], str]], ...] = (
    ("device", lambda record: record.protocol.device_name),
    ("GPU", _gpus),
    ("CPU and memory", _cpu),
    ("software", _versions),
    ("energy read by", _sources),
    ("estimated with", lambda record: assumed(record) if record.estimated else ""),
    ("not available", _unavailable),
    ("idle power", _idle),
    ("PUE", lambda record: number(record.pue)),
    ("data", _data),
    ("weights", lambda record: record.weights.source),
    ("protocol", _protocol),
    ("scripts' own words", _told),
)
