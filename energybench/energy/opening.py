"""Opening meters: by name, or the best one for each kind of domain; alone on the machine or not."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from energybench.energy.coverage import kind_of
from energybench.energy.cpu_use import CpuWatch
from energybench.energy.lock import exclusive_use, resources
from energybench.energy.meters.base import (
    Meter,
    MeterAbsent,
    MeterContext,
    MeterUnavailable,
    read_sources,
)
from energybench.energy.windows import MeterSet
from energybench.errors import EnergybenchError, UsageError
from energybench.registry import METERS

AUTO = ("nvml", "amdsmi", "intel-gpu", "rapl", "perf", "hwmon", "zeus", "codecarbon")
"""The meters that `auto` tries, best first. `wall` and `ipmi` read what the others read, too."""


@contextmanager
def open_for_use(
    names: Sequence[str],
    context: MeterContext,
    wait: bool,
    say: Callable[[str], None],
    trains_on_cpu: bool = True,
) -> Iterator[MeterSet]:
    """Open the meters called `names`, hold what they read against other processes, and close them.

    `names` and `context` are as in `open_meters`, `wait` and `say` as in `lock.exclusive_use`. The
    CPU is held too if `trains_on_cpu`. Raises `UsageError` as both do.
    """
    with (
        open_meters(names, context) as meters,
        exclusive_use(resources(meters.sources, trains_on_cpu), wait, say),
    ):
        yield meters


def open_meters(names: Sequence[str], context: MeterContext | None = None) -> MeterSet:
    """Open the meters called `names`, or with ("auto",) the best one for each kind of domain.

    `context` has the GPUs in use, the trace of the `replay` meter, the address of the `wall` meter
    and sensors for `hwmon`; those two are opened where they are given, as if they were named.
    `auto` leaves out the meters that are not available and gives their reasons in `unavailable`,
    but for a `MeterAbsent`. Raises `UsageError` for an unknown name and for a named meter that is
    not available.
    """
    context = context or MeterContext()
    automatic = tuple(names) == ("auto",)
    if not automatic:
        _check(names)
    if context.replay is not None and "replay" not in names:
        raise UsageError(f"the trace {context.replay} is for the meter replay; name that meter too")
    unavailable: dict[str, str] = {}
    opened: dict[str, Meter] = {}
    with ExitStack() as stack:
        given = _given(context)
        for name in opening_order(AUTO if automatic else names, given):
            try:
                meter = opened[name] = open_meter(name, context)
            except MeterUnavailable as error:
                if not automatic or name in given:
                    raise UsageError(f"meter {name} is not available: {error}") from error
                if not isinstance(error, MeterAbsent):
                    unavailable[name] = str(error)
                continue
            stack.callback(meter.close)
            kinds = {kind_of(domain) for domain in meter.domains()}
            context = replace(context, kinds_read=context.kinds_read | kinds)
        cpu = CpuWatch(context.processes)
        meters = MeterSet(opened, unavailable, cpu, context.busy_share)
        stack.pop_all()
    return meters


def open_meter(name: str, context: MeterContext) -> Meter:
    """Open one meter.

    Raises `MeterUnavailable` if it cannot read here or fails, and `UsageError` for an unknown name.
    """
    kind = METERS.get(name)
    with ExitStack() as stack:
        try:
            meter: Meter = kind.open(context) if hasattr(kind, "open") else kind()
            stack.callback(meter.close)
            read_sources(meter)
        except EnergybenchError:
            raise
        except Exception as error:
            raise MeterUnavailable(f"it fails with {type(error).__name__}: {error}") from error
        stack.pop_all()
    return meter


def _check(names: Sequence[str]) -> None:
    if not names:
        raise UsageError("no meter is named; name some, or auto")
    if "auto" in names:
        raise UsageError("auto chooses the meters itself; name it alone, or name meters")
    for name in names:
        METERS.check(name)


def _given(context: MeterContext) -> list[str]:
    """The meters that the user has told what to read."""
    told = {"wall": context.wall_meter, "hwmon": context.hwmon}
    return [name for name, what in told.items() if what]


def opening_order(names: Sequence[str], given: Sequence[str] = ()) -> list[str]:
    """Each name once: first those in `given`, last the meters that read what others leave."""
    return sorted(
        dict.fromkeys([*given, *names]),
        key=lambda name: getattr(METERS.get(name), "fallback", False),
    )
