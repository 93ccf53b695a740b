"""A diagnosis of this machine: its processor and GPUs, and the findings of every meter."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from energybench.energy.assumptions import Assumptions
from energybench.energy.coverage import covers
from energybench.energy.cpu_use import CpuWatch
from energybench.energy.lock_folder import lock_folder
from energybench.energy.machine import describe_machine, gpu_id
from energybench.energy.meters.base import Meter, MeterContext, MeterUnavailable, read_sources
from energybench.energy.meters.nvml.devices import all_gpus, initialized
from energybench.energy.neighbours import Busyness, observe
from energybench.energy.opening import open_meter
from energybench.energy.readings import IDLE
from energybench.energy.source import Kind
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError
from energybench.registry import METERS

WINDOWS = 200
"""The most windows whose cost is measured."""


@dataclass(frozen=True)
class Inventory:
    """The machine and its GPUs; found without measuring, so that no lock is needed."""

    machine: dict[str, Any]
    """The machine, in the form of `Machine.to_json`."""
    nvml_gpus: list[dict[str, str]]
    """`id` (hashed UUID) and `name`, in NVML's order."""
    cuda_gpus: list[dict[str, str]]
    """`id` and `name`, in CUDA's order, as PyTorch sees them."""
    notes: list[str]
    """Why GPUs are not seen."""
    locks: str = ""
    """The folder of lock files, or why none can be used."""


@dataclass(frozen=True)
class MeterFinding:
    """One meter on this machine."""

    name: str
    unavailable: str | None
    """Why it cannot read; None if it can, and then all facts below are known."""
    sources: dict[str, str]
    kinds: dict[str, Kind]
    """Per domain, whether its energy is measured or estimated."""
    covers: dict[str, str]
    """Per domain, what it is the energy of, in words."""
    watts: dict[str, float | None]
    """Per domain, over a quiet moment."""
    update_interval_s: dict[str, float | None]
    """Median time between changes of the joules; None if they changed at most once."""
    stated_update_s: float | None
    """Time between updates as the meter states it; it may interpolate in between."""
    min_window_s: float | None
    """The shortest window that it resolves."""
    read_s: float | None
    """Median time of one reading of all domains."""
    window_s: float | None
    """Median time that opening and closing one window takes."""


@dataclass(frozen=True)
class Diagnosis:
    """The inventory of a machine, and the findings of every meter."""

    inventory: Inventory
    meters: list[MeterFinding]
    automatic: dict[str, str]
    """Domain that `auto` reads here -> name of its source."""
    idle_watts: dict[str, float]
    """Per domain of `auto`, over `idle_s` quiet seconds; empty if the machine was not idle."""
    idle_s: float
    assumptions: Assumptions | None
    """The watts behind what `auto` estimates; None where it estimates nothing, or not known."""
    idle_refused: str | None
    """Why idle power is not known though it was asked for."""
    busy: Busyness
    """Who used the processors before any meter was tried."""

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers; the facts of the inventory are not nested."""
        data = asdict(self)
        return {**data.pop("inventory"), **data}


def take_inventory() -> Inventory:
    """Look at this machine; PyTorch is imported to list the GPUs that CUDA shows."""
    nvml, nvml_note = _nvml_gpus()
    cuda, cuda_note = _cuda_gpus()
    notes = [note for note in (nvml_note, cuda_note) if note]
    return Inventory(describe_machine().to_json(), nvml, cuda, notes, _locks())


def _locks() -> str:
    try:
        return str(lock_folder())
    except UsageError as error:
        return str(error)


def diagnose(
    inventory: Inventory,
    automatic: MeterSet,
    context: MeterContext,
    observe_s: float,
    idle_s: float,
) -> Diagnosis:
    """Look at the machine, try every meter but `replay` three times, and then keep quiet.

    The look and each trial take `observe_s` seconds.

    `automatic` are the open meters of `auto`. `context` has the GPUs to look at. `idle_s` are the
    quiet seconds, 0 for none. Hold the machine meanwhile, see `opening.open_for_use`.
    """
    busy = observe(CpuWatch(context.processes), observe_s, context.busy_share)
    found = [
        _meter(name, context, observe_s) for name in METERS.builtin_names() if name != "replay"
    ]
    if idle_s > 0:
        automatic.measure_idle(idle_s)
    return Diagnosis(
        inventory,
        found,
        automatic.source_names,
        automatic.idle_watts,
        idle_s,
        automatic.assumptions,
        automatic.unavailable.get(IDLE),
        busy,
    )


def _meter(name: str, context: MeterContext, observe_s: float) -> MeterFinding:
    try:
        meter = open_meter(name, context)
    except MeterUnavailable as error:
        return MeterFinding(name, str(error), {}, {}, {}, {}, {}, None, None, None, None)
    with MeterSet({name: meter}) as meters:
        watts, intervals, read_s = _observe(meters, meter, observe_s)
        window_s = _window_s(meters, observe_s)
        return MeterFinding(
            name,
            None,
            meters.source_names,
            {domain: source.kind for domain, source in meters.sources.items()},
            {domain: covers(domain) for domain in meters.sources},
            watts,
            intervals,
            getattr(meter, "update_s", None),
            meter.min_window_s,
            read_s,
            window_s,
        )


def _observe(
    meters: MeterSet, meter: Meter, observe_s: float
) -> tuple[dict[str, float | None], dict[str, float | None], float]:
    """Watts and time between changes per domain, and the median time of a reading."""
    changes: dict[str, list[float]] = {domain: [] for domain in read_sources(meter)}
    last: dict[str, Any] = {}
    readings: list[float] = []
    with meters.window() as window:
        time.sleep(observe_s)
    began = now = time.perf_counter()
    while not readings or now - began < observe_s:
        read = meter.read_joules()
        then, now = now, time.perf_counter()
        readings.append(now - then)
        for domain, joules in read.items():
            if domain in last and joules != last[domain]:
                changes[domain].append(now)
            last[domain] = joules
    reading = window.reading
    watts = {
        domain: None if value is None else value / reading.duration_s
        for domain, value in reading.joules.items()
    }
    intervals = {domain: _median_step(times) for domain, times in changes.items()}
    return watts, intervals, statistics.median(readings)


def _median_step(times: list[float]) -> float | None:
    steps = [later - earlier for earlier, later in pairwise(times)]
    return statistics.median(steps) if steps else None


def _window_s(meters: MeterSet, at_most_s: float) -> float:
    return statistics.median(_windows(meters, at_most_s))


def _windows(meters: MeterSet, at_most_s: float) -> Iterator[float]:
    end = time.perf_counter() + at_most_s
    for _ in range(WINDOWS):
        before = time.perf_counter()
        with meters.window():
            pass
        after = time.perf_counter()
        yield after - before
        if after > end:
            return


def _nvml_gpus() -> tuple[list[dict[str, str]], str | None]:
    try:
        nvml = initialized()
    except MeterUnavailable as error:
        return [], f"NVML: {error}"
    try:
        return [{"id": gpu_id(gpu.uuid), "name": gpu.name} for gpu in all_gpus(nvml)], None
    except nvml.NVMLError as error:
        return [], f"NVML: {error}"
    finally:
        nvml.nvmlShutdown()


def _cuda_gpus() -> tuple[list[dict[str, str]], str | None]:
    try:
        import torch

        found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    except (ImportError, RuntimeError) as error:
        return [], f"CUDA: {str(error).splitlines()[0]}"
    if not found:
        return [], f"CUDA: PyTorch {torch.__version__} sees no GPU"
    return [{"id": gpu_id(f"GPU-{gpu.uuid}"), "name": gpu.name} for gpu in found], None
