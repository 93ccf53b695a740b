"""`energybench doctor`: list the meters of this machine and test them."""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from energybench.app.cli.output import JSON, output_path, write_text
from energybench.energy.coverage import counted

if TYPE_CHECKING:
    from energybench.energy.diagnosis import Diagnosis, Inventory, MeterFinding


def add_command(commands: "argparse._SubParsersAction[Any]") -> argparse.ArgumentParser:
    """Add `doctor` to the commands."""
    doctor: argparse.ArgumentParser = commands.add_parser(
        "doctor", help="what can be measured on this machine"
    )
    doctor.add_argument(
        "--observe",
        type=_seconds,
        default=1.5,
        metavar="S",
        help="seconds per meter (default: 1.5)",
    )
    doctor.add_argument(
        "--idle", type=_seconds, default=3.0, metavar="S", help="quiet seconds (default: 3)"
    )
    doctor.add_argument(
        "--wall-meter",
        metavar="ADDRESS",
        help="plug or board to try: shelly:HOST, tasmota:HOST or redfish:HOST, with :PORT",
    )
    doctor.add_argument(
        "--hwmon",
        action="append",
        default=[],
        metavar="KIND=CHIP/SENSOR",
        help="sensor to read, as cpu=ina226/power1; may be given again",
    )
    doctor.add_argument("--json", metavar="FILE", help="keep what was found in a file, too")
    doctor.set_defaults(run=_doctor)
    return doctor


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.0 <= seconds < 3600.0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds, 0 to 3600")
    return seconds


def _doctor(options: argparse.Namespace) -> None:
    from energybench.energy.diagnosis import diagnose, take_inventory
    from energybench.energy.measurement import gpus
    from energybench.energy.opening import open_for_use

    output = output_path(options.json, JSON) if options.json else None
    inventory = take_inventory()
    print(inventory_text(inventory), flush=True)  # before a wait for another measurement
    context = replace(gpus(), wall_meter=options.wall_meter, hwmon=tuple(options.hwmon))
    with open_for_use(("auto",), context, options.wait, _say) as automatic:
        found = diagnose(inventory, automatic, context, options.observe, options.idle)
    print(f"\n{findings_text(found)}")
    if output is not None:
        write_text(output, json.dumps(found.to_json(), indent=1) + "\n")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def inventory_text(found: "Inventory") -> str:
    """Return the machine and its GPUs as text."""
    return "\n".join(_inventory_lines(found))


def _inventory_lines(found: "Inventory") -> Iterator[str]:
    machine = found.machine
    yield f"{machine['cpu']}, {machine['logical_cores']} logical cores, {machine['ram_gib']} GiB"
    yield f"{machine['os']}, Python {machine['python']}, torch {machine['versions']['torch']}"
    yield ""
    yield "GPUs"
    for title, gpus in (("NVML", found.nvml_gpus), ("CUDA", found.cuda_gpus)):
        for index, gpu in enumerate(gpus):
            yield f"  {title} {index}: gpu:{gpu['id']} {gpu['name']}"
    for note in found.notes:
        yield f"  {note}"
    yield ""
    yield f"Locks: {found.locks}"


def findings_text(found: "Diagnosis") -> str:
    """Return the meters, the sources that `auto` chooses, and the idle power as text."""
    return "\n".join(_findings_lines(found))


def _findings_lines(found: "Diagnosis") -> Iterator[str]:
    busy = " (others are busy: energy of the CPU would be theirs, too)" * found.busy.contaminated
    yield f"Processors: {found.busy}{busy}"
    yield ""
    yield "Meters"
    for meter in found.meters:
        yield from _meter_lines(meter)
    yield ""
    chosen = ", ".join(f"{domain} by {source}" for domain, source in found.automatic.items())
    yield f"auto reads {chosen or 'nothing'}"
    counting = counted(found.automatic)
    if len(counting) < len(found.automatic):
        yield f"the total is {', '.join(counting)} alone; the others are parts of it"
    if found.assumptions is not None:
        options = "--energy-cpu-watts and --energy-ram-watts"
        yield f"estimate by {found.assumptions}; declare yours with {options}"
    if found.idle_watts:
        parts = [f"{domain} {watts:.1f} W" for domain, watts in found.idle_watts.items()]
        watts = sum(found.idle_watts[domain] for domain in counted(found.idle_watts))
        yield f"Idle, {found.idle_s:g} s: {', '.join(parts)}; in all {watts:.1f} W"
    if found.idle_refused is not None:
        yield f"Idle: not known, {found.idle_refused}"


def _meter_lines(meter: "MeterFinding") -> Iterator[str]:
    if meter.unavailable is not None:
        yield f"  {meter.name:<11}not available: {meter.unavailable}"
        return
    reads, windows = format_time(meter.read_s), format_time(meter.window_s)
    least = f"; for windows from {format_time(meter.min_window_s)}" if meter.min_window_s else ""
    yield f"  {meter.name:<11}available; a reading takes {reads}, a window {windows}{least}"
    for domain, source in meter.sources.items():
        watts = meter.watts[domain]
        now = "no reading" if watts is None else f"{watts:.1f} W"
        what = f"{meter.kinds[domain]}, {meter.covers[domain]}"
        yield f"  {'':<11}{domain} ({source}): {now}, {_updates(meter, domain)}; {what}"


def _updates(meter: "MeterFinding", domain: str) -> str:
    seen, stated = meter.update_interval_s[domain], meter.stated_update_s
    if seen is None:
        return "did not change"
    if stated is not None and seen < stated / 2:  # it interpolates
        return f"updated every {format_time(stated)}"
    if meter.read_s is not None and seen < 2 * meter.read_s:
        return "changes at every reading"
    return f"changes every {format_time(seen)}"


def format_time(seconds: float | None) -> str:
    """Return a short duration as text: "12 us", "3.4 ms", "1.2 s"; "-" for None."""
    if seconds is None:
        return "-"
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
