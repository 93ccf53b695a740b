"""`energybench.measure`: the energy of any block of Python."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace as changed

from energybench.config import MeasureConfig
from energybench.energy.meters.base import MeterContext
from energybench.energy.opening import open_for_use, open_meters
from energybench.energy.readings import EnergyReading
from energybench.energy.units import format_joules, format_seconds, kwh
from energybench.energy.windows import Window

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
    def it_joules(self) -> float | None:
        """The sum over all domains; None if any domain, or every one, could not be read."""
        return self.reading.it_joules

    @property
    def watts(self) -> float | None:
        """Mean IT power; None if `it_joules` is."""
        return self.reading.watts

    @property
    def kwh(self) -> float | None:
        """Facility energy: IT energy x PUE; None if `it_joules` is."""
        joules = self.reading.it_joules
        return None if joules is None else kwh(joules, self._pue)

    @property
    def sources(self) -> dict[str, str]:
        """Domain -> the name of its source, for example `rapl`."""
        return self.reading.sources


@contextmanager
def measure(
    meters: Sequence[str] = ("auto",),
    pue: float = 1.58,
    synchronize: Callable[[], None] | None = None,
    gpu_uuids: Sequence[str] | None = None,
    exclusive: bool = True,
    wait: bool = True,
    replay: str | None = None,
    wall_meter: str | None = None,
) -> Iterator[Measurement]:
    """Measure the energy of a block.

    `meters` are names of meters or "auto"; `replay` is the trace file of the meter "replay".
    `wall_meter` is the plug that the machine is on, as "shelly:HOST" or "tasmota:HOST": its energy
    is then the total. `pue` is the facility energy per IT energy (>= 1). GPUs are read if CUDA
    shows them to this process and it is certain which: those that `CUDA_VISIBLE_DEVICES` names, or
    the machine's only one.
    `gpu_uuids`, as `torch.cuda.get_device_properties(0).uuid` gives them, names others, and ()
    none. `synchronize` waits for the GPUs at both ends; by default PyTorch does, if it is using
    them.

    Two measurements at once would read each other's energy. So an `exclusive` block holds the
    devices that it reads, and the CPU, against other processes. While another process measures on
    them, the block waits after a line in the log; with `wait=False` it raises `UsageError` instead.
    Blocks of one process may be nested, also inside a run of the suite. `exclusive=False` measures
    without regard to others.

    Raises `UsageError` for an unknown name, a named meter that is not available, and a `pue` that
    is not 1 to 100.
    """
    MeasureConfig(pue=pue)  # refuses a wrong one
    names = (meters,) if isinstance(meters, str) else meters
    context = changed(gpus(gpu_uuids), replay=replay, wall_meter=wall_meter)
    with ExitStack() as stack:
        if exclusive:
            opened = stack.enter_context(open_for_use(names, context, wait, log.warning))
        else:
            opened = stack.enter_context(open_meters(names, context))
        window = stack.enter_context(opened.window(synchronize or synchronize_torch))
        yield Measurement(window, pue)


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
