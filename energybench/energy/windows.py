"""Windows: the energy that all open meters read between two moments."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from numbers import Real
from threading import Lock
from typing import Any, Self, TypeGuard

from energybench.energy.assumptions import Assumptions
from energybench.energy.coverage import kind_of
from energybench.energy.cpu_use import BUSY_SHARE, CpuWatch, is_contaminated, is_idle, use_text
from energybench.energy.device_flags import device_flags, paired
from energybench.energy.meters.base import Meter, MeterSilent, MeterUnavailable, read_sources
from energybench.energy.moment import Moment
from energybench.energy.readings import IDLE, CpuUse, DeviceState, EnergyReading
from energybench.energy.source import Source, kind_of_source
from energybench.interruption import postponed

MARGIN = 1.05
"""Factor on the shortest window that the meters resolve, so that rounding does not matter."""
_IDLE_ATTEMPTS = 3


class Window:
    """Energy from one moment to the next; made by `MeterSet.window`."""

    reading: EnergyReading
    """The whole window; set when it closes."""

    def __init__(self, read: Callable[[bool], EnergyReading]) -> None:
        self._read = read

    def so_far(self) -> EnergyReading:
        """From the start until now, without waiting for the device; `reading` after the end."""
        return self._read(False)

    def finish(self) -> None:
        """Close the window: `reading` covers it from its start until now."""
        reading = self.reading = self._read(True)
        self._read = lambda _: reading


class MeterSet:
    """Open meters, shared by all windows, nested or in sequence. Close it when done.

    `meters` are open meters by name; of two that read the same kind (`gpu`, `cpu`, `dram`) the
    earlier one counts, see `coverage`. `unavailable` gives the reason for each meter that is not
    open. A domain that fails or goes backwards has no joules from then on, a silent one none in
    windows around that time; windows never raise for it.
    `cpu` reads who uses the processors; without it, readings do not say so. A window in which
    others used more than `busy_share` of the processors is `contaminated`.
    """

    def __init__(
        self,
        meters: Mapping[str, Meter],
        unavailable: Mapping[str, str] | None = None,
        cpu: CpuWatch | None = None,
        busy_share: float = BUSY_SHARE,
    ) -> None:
        self.unavailable = dict(unavailable or {})
        self.sources: dict[str, Source] = {}
        """Domain -> how its energy is known."""
        self.idle_watts: dict[str, float] = {}
        """Domain -> watts of the idle machine; empty until `measure_idle`, and if it refused."""
        self._cpu = cpu
        self._busy_share = busy_share
        self._meters = dict(meters)
        self._failed: dict[str, str] = {}
        self._silences: dict[str, tuple[int, str]] = {}
        self._latest: dict[str, float] = {}
        self._lock = Lock()
        self._reader: dict[str, str] = {}  # domain -> name of the meter that reads it
        for name, meter in self._meters.items():
            kinds = {kind_of(domain) for domain in self._reader}
            found = read_sources(meter)
            own = {domain: found[domain] for domain in found if kind_of(domain) not in kinds}
            self.sources.update(own)
            self._reader.update(dict.fromkeys(own, name))

    @property
    def source_names(self) -> dict[str, str]:
        """Domain -> the name of its source, as records have it."""
        return {domain: source.name for domain, source in self.sources.items()}

    @property
    def why_unavailable(self) -> str:
        """The reasons in `unavailable`, in one line."""
        return "; ".join(f"{name}: {why}" for name, why in self.unavailable.items())

    @property
    def assumptions(self) -> Assumptions | None:
        """The assumptions behind the first estimated domain; None where none is known."""
        for name in dict.fromkeys(self._reader.values()):
            meter: Any = self._meters[name]
            if hasattr(meter, "assumptions"):
                with suppress(Exception):  # beside the energy: nothing depends on them
                    found: Assumptions = meter.assumptions()
                    return found
        return None

    @property
    def min_window_s(self) -> float:
        """The shortest window that every domain's meter resolves."""
        return max((self._meters[name].min_window_s for name in self._reader.values()), default=0.0)

    @contextmanager
    def window(
        self, synchronize: Callable[[], None] | None = None, states: bool = False
    ) -> Iterator[Window]:
        """Measure a block; `synchronize` waits for the device, and is called at both ends.

        With `states` the reading has the state of each device at both ends; asking for it is
        outside the seconds and joules of the block. The window has its `reading` after the block,
        also if the block raised.
        """
        wait = synchronize or (lambda: None)
        wait()
        before = self._states() if states else {}
        used = self._cpu.moment() if self._cpu else None
        start = self._moment()

        def read(closing: bool) -> EnergyReading:
            end = self._moment()
            cpu = self._cpu.since(used) if self._cpu else None
            after = self._states() if states and closing else {}
            return self._reading(start, end, paired(before, after), cpu)

        window = Window(read)
        try:
            yield window
        except Exception:
            with suppress(Exception):  # the block's own error is the one to see
                wait()
            raise
        else:
            wait()
        finally:
            with postponed():  # a reading that is cut short would be lost
                window.finish()

    def measure_idle(self, seconds: float, synchronize: Callable[[], None] | None = None) -> None:
        """Sleep for `seconds` and keep the mean power of that time as `idle_watts`.

        The sleep is longer if the meters do not resolve so short a window. If the machine was not
        idle meanwhile, it is measured again, three times in all. After that there are no
        `idle_watts`, and `unavailable` has the reason under `IDLE`.
        """
        self.idle_watts = {}
        self.unavailable.pop(IDLE, None)
        used = ""
        for _ in range(_IDLE_ATTEMPTS):
            with self.window(synchronize) as window:
                time.sleep(max(seconds, MARGIN * self.min_window_s))
            reading = window.reading
            cpu = reading.cpu
            if cpu is None or is_idle(cpu, reading.duration_s, self._busy_share):
                self.idle_watts = {
                    domain: joules / reading.duration_s
                    for domain, joules in reading.joules.items()
                    if joules is not None
                }
                return
            used = use_text(cpu)
        self.unavailable[IDLE] = f"the machine was not idle in {_IDLE_ATTEMPTS} attempts: {used}"

    def close(self) -> None:
        """Close all meters."""
        with ExitStack() as stack:
            for meter in self._meters.values():
                stack.callback(meter.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _moment(self) -> Moment:
        with self._lock:
            time_ns = time.perf_counter_ns()
            joules: dict[str, float] = {}
            reasons: dict[str, str] = {}
            for name, meter in self._meters.items():
                self._read(name, meter, joules, reasons)
            silent = dict(self._silences)
            return Moment(time_ns, joules, self._background_cpu_s(), reasons, silent)

    def _read(
        self, name: str, meter: Meter, joules: dict[str, float], reasons: dict[str, str]
    ) -> None:
        """Add the joules of the domains that `meter` reads here, or why they are missing."""
        own = [domain for domain, reader in self._reader.items() if reader == name]
        wanted = [domain for domain in own if domain not in self._failed]
        if not wanted:
            return
        read: Mapping[str, Any]
        try:
            read = dict(meter.read_joules())
        except MeterUnavailable as error:
            read = dict.fromkeys(wanted, error)
        except Exception as error:  # whatever a meter does, hours of training go on
            told = ": ".join(filter(None, (type(error).__name__, str(error))))
            read = dict.fromkeys(wanted, MeterUnavailable(f"its meter failed with {told}"))
        for domain in wanted:
            value = read.get(domain)
            if isinstance(value, MeterSilent):
                times = self._silences.get(domain, (0, ""))[0] + 1
                self._silences[domain] = times, " ".join(str(value).split())
            elif isinstance(value, MeterUnavailable):
                self._failed[domain] = " ".join(str(value).split())
            elif not _is_number(value):
                reasons[domain] = f"its meter gave {'nothing' if value is None else repr(value)}"
            elif value < self._latest.get(domain, value):
                self._failed[domain] = (
                    f"its meter went backwards, from {self._latest[domain]:g} to {value:g} J"
                )
            else:
                joules[domain] = self._latest[domain] = float(value)

    def _background_cpu_s(self) -> float:
        spent = 0.0
        for meter in self._meters.values():
            if hasattr(meter, "background_cpu_s"):
                with suppress(Exception):  # beside the energy: nothing depends on it
                    spent += float(meter.background_cpu_s())
        return spent

    def _states(self) -> dict[str, DeviceState]:
        states: dict[str, DeviceState] = {}
        for meter in self._meters.values():
            if hasattr(meter, "states"):
                with suppress(Exception):  # beside the energy: nothing depends on them
                    states.update(meter.states())
        return {domain: state for domain, state in states.items() if domain in self._reader}

    def _reading(
        self,
        start: Moment,
        end: Moment,
        devices: dict[str, dict[str, DeviceState]],
        cpu: CpuUse | None,
    ) -> EnergyReading:
        duration_s = (end.time_ns - start.time_ns) / 1e9
        joules = {domain: start.difference(domain, end) for domain in self._reader}
        known = [domain for domain, value in joules.items() if value is not None]
        short = any(duration_s < self._meters[self._reader[d]].min_window_s for d in known)
        flags = [*(["short_window"] if short else []), *device_flags(devices, duration_s)]
        if cpu is not None and is_contaminated(cpu, duration_s, self._busy_share):
            flags.append("contaminated")
        return EnergyReading(
            duration_s=duration_s,
            joules=joules,
            sources={domain: self.sources[domain].name for domain in known},
            flags=list(dict.fromkeys(flags)),
            unavailable=self.unavailable
            | {
                domain: self._failed.get(domain)
                or (start.reasons | end.reasons).get(domain)
                or end.silences[domain][1]
                for domain in joules
                if joules[domain] is None
            },
            net_joules={
                domain: None if value is None else value - self.idle_watts[domain] * duration_s
                for domain, value in joules.items()
                if domain in self.idle_watts
            },
            devices=devices,
            background_cpu_s=end.background_cpu_s - start.background_cpu_s,
            kinds={
                domain: self.sources[domain].kind
                for domain in known
                if self.sources[domain].kind != kind_of_source(self.sources[domain].name)
            },
            cpu=cpu,
        )


def _is_number(value: object) -> TypeGuard[float]:
    """Whether `value` is a finite number, of Python or NumPy."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
