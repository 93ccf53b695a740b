"""Windows: what all open meters read between two moments."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Self

from energybench.energy.meters.base import Meter, MeterUnavailable, kind_of
from energybench.energy.readings import DeviceState, EnergyReading

MARGIN = 1.05
"""Windows made as long as the meters ask are this much longer, so that no rounding counts."""
THROTTLED_SHARE = 0.01
"""Of a window's time that clocks were held down, from which it is marked."""


class Window:
    """Energy from one moment to the next; made by `MeterSet.window`."""

    reading: EnergyReading
    """The whole window; set when it closes."""

    def __init__(self, read: Callable[[bool], EnergyReading]) -> None:
        self._read = read

    def so_far(self) -> EnergyReading:
        """From the start until now, without waiting for the device; `reading` once it closed."""
        return self._read(False)

    def finish(self) -> None:
        """Close the window: `reading` is what was read until now."""
        reading = self.reading = self._read(True)
        self._read = lambda _: reading


@dataclass(frozen=True)
class _Moment:
    time_ns: int
    joules: dict[str, float]
    background_cpu_s: float
    states: dict[str, DeviceState] = field(default_factory=dict)


class MeterSet:
    """Open meters, shared by all windows, nested or in sequence. Close it when done.

    `meters` are open meters by name; where two read the same kind (`gpu`, `cpu`, `dram`), the
    earlier one counts. `unavailable` says why others are not open. A domain that fails is not read
    again; windows never raise for it.
    """

    def __init__(
        self, meters: Mapping[str, Meter], unavailable: Mapping[str, str] | None = None
    ) -> None:
        self.unavailable = dict(unavailable or {})
        self.sources: dict[str, str] = {}
        """Domain -> how it is read."""
        self.idle_watts: dict[str, float] = {}
        """Domain -> watts of the idle machine; empty until `measure_idle`."""
        self._meters = dict(meters)
        self._failed: dict[str, str] = {}
        self._lock = Lock()
        self._reader: dict[str, str] = {}  # domain -> name of the meter that reads it
        for name, meter in self._meters.items():
            kinds = {kind_of(domain) for domain in self._reader}
            found = meter.domains()
            own = {domain: found[domain] for domain in found if kind_of(domain) not in kinds}
            self.sources.update(own)
            self._reader.update(dict.fromkeys(own, name))

    @property
    def min_window_s(self) -> float:
        """The shortest window that every domain's meter resolves."""
        return max((self._meters[name].min_window_s for name in self._reader.values()), default=0.0)

    @contextmanager
    def window(
        self, synchronize: Callable[[], None] | None = None, states: bool = False
    ) -> Iterator[Window]:
        """Measure a block; `synchronize` waits for the device, and is called at both ends.

        With `states` the reading has the state of each device at both ends, outside the seconds and
        joules of the block. The window's `reading` is there once the block has ended, also when
        it raised.
        """
        wait = synchronize or (lambda: None)
        wait()
        before = self._states() if states else {}
        start = self._moment()

        def read(closing: bool) -> EnergyReading:
            end = self._moment()
            after = self._states() if states and closing else {}
            return self._reading(start, end, _paired(before, after))

        window = Window(read)
        try:
            yield window
        except Exception:
            with suppress(Exception):  # of the two errors the block's own is the one to see
                wait()
            raise
        else:
            wait()
        finally:
            window.finish()

    def measure_idle(self, seconds: float, synchronize: Callable[[], None] | None = None) -> None:
        """Keep quiet for `seconds` and take the mean power of that time as `idle_watts`.

        It is longer where the meters do not resolve so short a time.
        """
        with self.window(synchronize) as window:
            time.sleep(max(seconds, MARGIN * self.min_window_s))
        reading = window.reading
        self.idle_watts = {
            domain: joules / reading.duration_s
            for domain, joules in reading.joules.items()
            if joules is not None
        }

    def close(self) -> None:
        """Close all meters."""
        with ExitStack() as stack:
            for meter in self._meters.values():
                stack.callback(meter.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _moment(self) -> _Moment:
        with self._lock:
            time_ns = time.perf_counter_ns()
            joules: dict[str, float] = {}
            for name, meter in self._meters.items():
                joules.update(self._read(name, meter))
            return _Moment(time_ns, joules, self._background_cpu_s())

    def _read(self, name: str, meter: Meter) -> dict[str, float]:
        """Joules of the domains that count and can be read; why others cannot is kept."""
        own = [domain for domain, reader in self._reader.items() if reader == name]
        wanted = [domain for domain in own if domain not in self._failed]
        if not wanted:
            return {}
        read: Mapping[str, Any]
        try:
            read = meter.read_joules()
        except Exception as error:  # whatever a meter does, hours of training go on
            read = dict.fromkeys(wanted, MeterUnavailable(str(error) or type(error).__name__))
        joules = {}
        for domain in wanted:
            value = read.get(domain)
            if isinstance(value, MeterUnavailable):
                self._failed[domain] = str(value)
            elif value is not None:
                joules[domain] = value
        return joules

    def _background_cpu_s(self) -> float:
        members = (getattr(meter, "background_cpu_s", None) for meter in self._meters.values())
        return sum((float(seconds()) for seconds in members if seconds is not None), 0.0)

    def _states(self) -> dict[str, DeviceState]:
        states: dict[str, DeviceState] = {}
        for meter in self._meters.values():
            if hasattr(meter, "states"):
                with suppress(Exception):  # facts beside the energy: nothing depends on them
                    states.update(meter.states())
        return {domain: state for domain, state in states.items() if domain in self._reader}

    def _reading(
        self, start: _Moment, end: _Moment, devices: dict[str, dict[str, DeviceState]]
    ) -> EnergyReading:
        duration_s = (end.time_ns - start.time_ns) / 1e9
        joules = {domain: _difference(domain, start, end) for domain in self._reader}
        known = [domain for domain, value in joules.items() if value is not None]
        short = any(duration_s < self._meters[self._reader[d]].min_window_s for d in known)
        return EnergyReading(
            duration_s=duration_s,
            joules=joules,
            sources={domain: self.sources[domain] for domain in known},
            flags=[*(["short_window"] if short else []), *device_flags(devices, duration_s)],
            unavailable=self.unavailable
            | {
                domain: self._failed.get(domain, "its meter gave no valid reading")
                for domain in joules.keys() - set(known)
            },
            net_joules={
                domain: None if value is None else value - self.idle_watts[domain] * duration_s
                for domain, value in joules.items()
                if domain in self.idle_watts
            },
            devices=devices,
            background_cpu_s=end.background_cpu_s - start.background_cpu_s,
        )


def device_flags(devices: Mapping[str, Mapping[str, DeviceState]], duration_s: float) -> list[str]:
    """`throttled` and `contaminated`, as the states of all devices at both ends tell.

    `throttled` is a lack of power or cooling at an end, or for over 1 % of the time between.
    """
    states = [state for ends in devices.values() for state in ends.values()]
    throttled = any(state.throttle_reasons for state in states) or any(
        _throttled_s(ends["start"], ends["end"]) > THROTTLED_SHARE * duration_s
        for ends in devices.values()
    )
    contaminated = any(state.other_processes for state in states)
    return [*(["throttled"] if throttled else []), *(["contaminated"] if contaminated else [])]


def _throttled_s(start: DeviceState, end: DeviceState) -> float:
    if start.throttled_s is None or end.throttled_s is None:
        return 0.0
    return end.throttled_s - start.throttled_s


def _paired(
    before: Mapping[str, DeviceState], after: Mapping[str, DeviceState]
) -> dict[str, dict[str, DeviceState]]:
    return {d: {"start": before[d], "end": after[d]} for d in before.keys() & after.keys()}


def _difference(domain: str, start: _Moment, end: _Moment) -> float | None:
    if domain not in start.joules or domain not in end.joules:
        return None
    joules = end.joules[domain] - start.joules[domain]
    return joules if math.isfinite(joules) and joules >= 0 else None
