"""`energybench.measure`: the energy of any block of Python."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from energybench.energy.meters.base import MeterContext
from energybench.energy.opening import open_meters
from energybench.energy.readings import EnergyReading
from energybench.energy.units import kwh
from energybench.energy.windows import Window
from energybench.errors import UsageError


class Measurement:
    """What `measure` yields: the block so far while it runs, the whole of it afterwards."""

    def __init__(self, window: Window, pue: float) -> None:
        self._window = window
        self._pue = pue

    @property
    def reading(self) -> EnergyReading:
        """Joules and source per domain, flags, and why what is missing is missing."""
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
    def watts(self) -> float | None:
        """Mean IT power."""
        return self.reading.watts

    @property
    def kwh(self) -> float | None:
        """Facility energy: IT energy x PUE; None if a domain, or everything, could not be read."""
        joules = self.reading.it_joules
        return None if joules is None else kwh(joules, self._pue)

    @property
    def sources(self) -> dict[str, str]:
        """Domain -> how it was read."""
        return self.reading.sources


@contextmanager
def measure(
    meters: Sequence[str] = ("auto",),
    pue: float = 1.58,
    synchronize: Callable[[], None] | None = None,
    gpu_uuids: Sequence[str] | None = None,
) -> Iterator[Measurement]:
    """Measure the energy of a block.

    `meters` are names of meters or "auto", `pue` is the facility energy per IT energy (>= 1).
    GPUs are read if CUDA shows them to this process and it is certain which: those that
    `CUDA_VISIBLE_DEVICES` names, or the machine's only one. `gpu_uuids`, as
    `torch.cuda.get_device_properties(0).uuid` gives them, names others, and () none.
    `synchronize` waits for the GPUs at both ends; by default PyTorch does, where it is using them.
    Raises `UsageError` for an unknown name or a named meter that is not available.
    """
    if not pue >= 1.0:
        raise UsageError(f"pue is {pue:g}; it must be at least 1")
    names = (meters,) if isinstance(meters, str) else meters
    with (
        open_meters(names, gpus(gpu_uuids)) as opened,
        opened.window(synchronize or synchronize_torch) as window,
    ):
        yield Measurement(window, pue)


def gpus(uuids: Sequence[str] | None = None) -> MeterContext:
    """The context for the GPUs called `uuids`; None stands for those that CUDA shows."""
    if uuids is None:
        return MeterContext(gpu_uuids=None, gpu_indices=None)
    return MeterContext(gpu_uuids=tuple(str(uuid) for uuid in uuids))


def synchronize_torch() -> None:
    """Wait for the GPUs that PyTorch uses, if this process has loaded it and uses any."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            if torch.cuda.memory_reserved(index):  # waiting would make a context on any other
                torch.cuda.synchronize(index)
