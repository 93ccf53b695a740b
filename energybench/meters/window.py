"""Windows: what all open meters read between two moments."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from typing import Self

from energybench.errors import UsageError
from energybench.meters.base import Meter, MeterContext, MeterUnavailable, kind_of
from energybench.record import EnergyReading
from energybench.registry import METERS

AUTO = ("nvml", "rapl", "codecarbon")
"""What `auto` composes, best first."""


class Window:
    """Energy from one moment to the next; made by `MeterSet.window`."""

    reading: EnergyReading
    """The whole window; set when it closes."""

    def __init__(self, read: Callable[[], EnergyReading]) -> None:
        self._read = read

    def so_far(self) -> EnergyReading:
        """From the start until now, without waiting for the device; `reading` once it closed."""
        return self._read()

    def finish(self) -> None:
        """Close the window: `reading` is what was read until now."""
        reading = self.reading = self._read()
        self._read = lambda: reading


@dataclasses.dataclass(frozen=True)
class _Moment:
    time_ns: int
    joules: dict[str, float]


class MeterSet:
    """Open meters, shared by all windows, nested or in sequence. Close it when done.

    `meters` are open meters by name; where two read the same kind (`gpu`, `cpu`, `dram`), the
    earlier one counts. `unavailable` says why others are not open. A meter that fails is not read
    again; windows never raise for it.
    """

    def __init__(
        self, meters: Mapping[str, Meter], unavailable: Mapping[str, str] | None = None
    ) -> None:
        self.unavailable = dict(unavailable or {})
        self._meters = dict(meters)
        self._failed: dict[str, str] = {}
        self._lock = Lock()
        self._reader: dict[str, str] = {}  # domain -> name of the meter that reads it
        for name, meter in self._meters.items():
            kinds = {kind_of(domain) for domain in self._reader}
            own = [domain for domain in meter.domains() if kind_of(domain) not in kinds]
            self._reader.update(dict.fromkeys(own, name))

    @contextmanager
    def window(self, synchronize: Callable[[], None] | None = None) -> Iterator[Window]:
        """Measure a block; `synchronize` waits for the device, and is called at both ends.

        The window's `reading` is there once the block has ended, also when it raised.
        """
        wait = synchronize or (lambda: None)
        wait()
        start = self._moment()
        window = Window(lambda: self._reading(start, self._moment()))
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
                if name in self._failed:
                    continue
                try:
                    read = meter.read_joules()
                except Exception as error:  # whatever a meter does, hours of training go on
                    self._failed[name] = str(error) or type(error).__name__
                    continue
                joules.update({d: read[d] for d in read if self._reader.get(d) == name})
        return _Moment(time_ns, joules)

    def _reading(self, start: _Moment, end: _Moment) -> EnergyReading:
        duration_s = (end.time_ns - start.time_ns) / 1e9
        joules = {domain: _difference(domain, start, end) for domain in self._reader}
        readers = {d: self._meters[self._reader[d]] for d in joules if joules[d] is not None}
        short = any(duration_s < meter.min_window_s for meter in readers.values())
        return EnergyReading(
            duration_s=duration_s,
            joules=joules,
            sources={domain: meter.source for domain, meter in readers.items()},
            flags=["short_window"] if short else [],
            unavailable=self.unavailable
            | {
                domain: self._failed.get(self._reader[domain], "its meter gave no valid reading")
                for domain in joules.keys() - readers.keys()
            },
        )


def _difference(domain: str, start: _Moment, end: _Moment) -> float | None:
    if domain not in start.joules or domain not in end.joules:
        return None
    joules = end.joules[domain] - start.joules[domain]
    return joules if math.isfinite(joules) and joules >= 0 else None


def open_meters(
    names: Sequence[str], gpu_uuids: Sequence[str] = (), replay: str | None = None
) -> MeterSet:
    """Open the meters called `names`, or with ("auto",) the best source for each kind of domain.

    `gpu_uuids` are the GPUs in use and `replay` is the trace file of the `replay` meter. With
    `auto`, meters that are not available are left out, with their reasons in `unavailable`; one
    that is named and not available raises `UsageError`, as do unknown names.
    """
    automatic = tuple(names) == ("auto",)
    if not automatic:
        _check(names)
    if replay is not None and "replay" not in names:
        raise UsageError(f"the trace {replay} is for the meter replay; name that meter too")
    context = MeterContext(tuple(gpu_uuids), replay)
    unavailable: dict[str, str] = {}
    opened: dict[str, Meter] = {}
    with ExitStack() as stack:
        for name in _in_opening_order(AUTO if automatic else names):
            try:
                meter = opened[name] = _open(name, context)
            except MeterUnavailable as error:
                if not automatic:
                    raise UsageError(f"meter {name} is not available: {error}") from error
                unavailable[name] = str(error)
                continue
            stack.callback(meter.close)
            kinds = {kind_of(domain) for domain in meter.domains()}
            context = dataclasses.replace(context, kinds_read=context.kinds_read | kinds)
        meters = MeterSet(opened, unavailable)
        stack.pop_all()
    return meters


def _check(names: Sequence[str]) -> None:
    if not names:
        raise UsageError("no meter is named; name some, or auto")
    if "auto" in names:
        raise UsageError("auto chooses the meters itself; name it alone, or name meters")
    for name in names:
        METERS.check(name)


def _in_opening_order(names: Sequence[str]) -> list[str]:
    """Each name once, the meters that only read what others leave at the end."""
    return sorted(
        dict.fromkeys(names), key=lambda name: getattr(METERS.get(name), "fallback", False)
    )


def _open(name: str, context: MeterContext) -> Meter:
    kind = METERS.get(name)
    meter: Meter = kind.open(context) if hasattr(kind, "open") else kind()
    return meter
