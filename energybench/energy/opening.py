"""Opening meters by name, or the best source for each kind of domain."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from energybench.energy.meters.base import Meter, MeterContext, MeterUnavailable, kind_of
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError
from energybench.registry import METERS

AUTO = ("nvml", "rapl", "zeus", "codecarbon")
"""What `auto` composes, best first."""


def open_meters(names: Sequence[str], context: MeterContext | None = None) -> MeterSet:
    """Open the meters called `names`, or with ("auto",) the best source for each kind of domain.

    `context` has the GPUs in use and the trace of the `replay` meter. With `auto`, meters that are
    not available are left out, with their reasons in `unavailable`; one that is named and not
    available raises `UsageError`, as do unknown names.
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
        for name in _in_opening_order(AUTO if automatic else names):
            try:
                meter = opened[name] = open_meter(name, context)
            except MeterUnavailable as error:
                if not automatic:
                    raise UsageError(f"meter {name} is not available: {error}") from error
                unavailable[name] = str(error)
                continue
            stack.callback(meter.close)
            kinds = {kind_of(domain) for domain in meter.domains()}
            context = replace(context, kinds_read=context.kinds_read | kinds)
        meters = MeterSet(opened, unavailable)
        stack.pop_all()
    return meters


def open_meter(name: str, context: MeterContext) -> Meter:
    """Open one meter; raises `MeterUnavailable` where it cannot read, `UsageError` for its name."""
    kind = METERS.get(name)
    meter: Meter = kind.open(context) if hasattr(kind, "open") else kind()
    return meter


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
