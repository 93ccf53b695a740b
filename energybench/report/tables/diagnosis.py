"""A diagnosis for people to read."""

from collections.abc import Iterator

from energybench.energy.doctor import Diagnosis, MeterFinding


def diagnosis_text(found: Diagnosis) -> str:
    """The whole diagnosis as lines of text."""
    return "\n".join(_lines(found))


def _lines(found: Diagnosis) -> Iterator[str]:
    machine = found.machine
    yield f"{machine['cpu']}, {machine['logical_cores']} logical cores, {machine['ram_gib']} GiB"
    yield f"{machine['os']}, Python {machine['python']}, torch {machine['versions']['torch']}"
    yield ""
    yield "Meters"
    for meter in found.meters:
        yield from _meter_lines(meter)
    yield ""
    chosen = ", ".join(f"{domain} by {source}" for domain, source in found.automatic.items())
    yield f"auto reads {chosen or 'nothing'}"
    if found.idle_watts:
        parts = [f"{domain} {watts:.1f} W" for domain, watts in found.idle_watts.items()]
        total = sum(found.idle_watts.values())
        yield f"Idle, {found.idle_s:g} s: {', '.join(parts)}; together {total:.1f} W"
    yield ""
    yield "GPUs"
    for title, gpus in (("NVML", found.nvml_gpus), ("CUDA", found.cuda_gpus)):
        for index, gpu in enumerate(gpus):
            yield f"  {title} {index}: gpu:{gpu['id']} {gpu['name']}"
    for note in found.notes:
        yield f"  {note}"


def _meter_lines(meter: MeterFinding) -> Iterator[str]:
    if meter.unavailable is not None:
        yield f"  {meter.name:<11}not available: {meter.unavailable}"
        return
    reads, windows = format_time(meter.read_s), format_time(meter.window_s)
    yield f"  {meter.name:<11}available; a reading takes {reads}, a window {windows}"
    for domain, source in meter.sources.items():
        watts = meter.watts[domain]
        now = "no reading" if watts is None else f"{watts:.1f} W"
        interval = meter.update_interval_s[domain]
        if interval is None:
            updates = "did not change"
        elif meter.read_s is not None and interval < 2 * meter.read_s:
            updates = "changes at every reading"
        else:
            updates = f"changes every {format_time(interval)}"
        yield f"  {'':<11}{domain} ({source}): {now}, {updates}"


def format_time(seconds: float | None) -> str:
    """A short duration: "12 us", "3.4 ms", "1.2 s"; "-" for None."""
    if seconds is None:
        return "-"
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
