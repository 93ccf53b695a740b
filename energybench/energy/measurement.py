"""The energy of any block of Python, and the meters that `energybench.measure` reads it with."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace as changed

from energybench.energy.meters.base import MeterContext
from energybench.energy.opening import open_for_use, open_meters
from energybench.energy.readings import EnergyReading
from energybench.energy.units import format_joules, format_seconds, kwh
from energybench.energy.windows import MeterSet, Window

log = logging.getLogger(__name__)


class Measurement:
    """The energy of a block: until now while the block runs, of all of it afterwards.

    `print` shows `<Measurement 12.3 J over 2.0 s, 6.2 W (rapl)>`.
    """

    def __init__(self, window: Window, pue: float) -> None:
        self._window = window
        self._pue = pue

    def __repr__(self) -> str:
        reading = self.reading
        seconds = format_seconds(reading.duration_s)
        if reading.it_joules is None:
            return f"<Measurement without energy over {seconds} ({reading.why_missing})>"
        watts = "" if reading.watts is None else f", {reading.watts:.3g} W"
        joules = format_joules(reading.it_joules)
        return f"<Measurement {joules} over {seconds}{watts} ({reading.source})>"

    @property
    def reading(self) -> EnergyReading:
        """Joules and source per domain, flags, and the reasons for what is missing."""
        return self._window.so_far()

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return self.reading.duration_s

    @property
    def joules(self) -> dict[str, float | None]:
        """Energy per domain; None for one that could not be read."""
        return self.reading.joules

    @property
    def total_joules(self) -> float | None:
        """The sum over all domains; None if any domain, or every one, could not be read."""
        return self.reading.it_joules

    @property
    def it_joules(self) -> float | None:
        """`total_joules`, under the name that readings have for it."""
        return self.total_joules

    @property
    def watts(self) -> float | None:
        """Mean IT power; None if `total_joules` is."""
        return self.reading.watts

    @property
    def kwh(self) -> float | None:
        """Facility energy: IT energy x PUE; None if `total_joules` is."""
        joules = self.reading.it_joules
        return None if joules is None else kwh(joules, self._pue)

    @property
    def sources(self) -> dict[str, str]:
        """Domain -> the name of its source, for example `rapl`."""
        return self.reading.sources


@contextmanager
def opened(
    meters: str | Sequence[str] = ("auto",),
    gpu_uuids: Sequence[str] | None = None,
    exclusive: bool = True,
    wait: bool = True,
    replay: str | None = None,
    wall_meter: str | None = None,
) -> Iterator[MeterSet]:
    """Open the meters of a block, and with `exclusive` hold what they read against other processes.

    The arguments are those of `runs.scripts.measure`. Raises `UsageError` for an unknown name, and
    for a named meter that is not available.
    """
    names = (meters,) if isinstance(meters, str) else meters
    context = changed(gpus(gpu_uuids), replay=replay, wall_meter=wall_meter)
    with ExitStack() as stack:
        if exclusive:
            yield stack.enter_context(open_for_use(names, context, wait, log.warning))
        else:
            yield stack.enter_context(open_meters(names, context))


def gpus(uuids: Sequence[str] | None = None) -> MeterContext:
    """The context for the GPUs called `uuids`; None stands for those that CUDA shows."""
    if uuids is None:
        return MeterContext(gpu_uuids=None, gpu_indices=None)
    return MeterContext(gpu_uuids=tuple(str(uuid) for uuid in uuids))


def synchronize_torch() -> None:
    """Wait for the GPUs that PyTorch uses, if this process has loaded it and uses any."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)  # torch may be in the middle of its import
    if torch is not None and cuda is not None and cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            if torch.cuda.memory_reserved(index):  # waiting would make a context on any other
                torch.cuda.synchronize(index)
