"""The interface of a meter, how one is opened, and how it says that it cannot read.

A meter is a class with the members of `Meter`. It is constructed without arguments, unless it has a
class method `open(context: MeterContext)`: then that is called. A class with `fallback = True` is
opened after all others and reads only the kinds of domains that they leave.

Four more members are optional. `update_s` are the seconds between two updates of what it reads, as
its documentation or its own polling says; `doctor` shows them. `background_cpu_s()` gives the CPU
seconds that the meter's own threads have used since it was opened. `states()` gives the present
state of each device by domain. `assumptions()` of a meter that estimates gives the
`energy.assumptions.Assumptions` behind its joules, which records keep.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from energybench.energy.source import Source, as_source
from energybench.errors import EnergybenchError


class MeterUnavailable(EnergybenchError):
    """A meter, or one of its domains, cannot be read; the message is the reason, in one line."""


class MeterAbsent(MeterUnavailable):
    """The machine has nothing for this meter to read, or another meter reads it already.

    `auto` does not mention such a meter.
    """


class MeterSilent(MeterUnavailable):
    """A meter does not answer, or did not for some time before it answered again.

    Energy until now is not known, and energy from a later moment on may be. A meter raises it at
    least once for each silence, so that no window around one counts as read.
    """


class Meter(Protocol):
    """Reads the cumulative energy of one or more domains, from its construction until `close`."""

    min_window_s: float
    """The shortest window that it resolves; shorter ones are marked `short_window`."""

    def domains(self) -> Mapping[str, Source | str]:
        """Its domains (`gpu:<id>`, `cpu:<package>`, `wall:<meter>`), each with its source.

        The source says whether the energy is measured: `Source("wall", "measured")`. A plain string
        is the name of a source, see `source.kind_of_source`.
        """
        ...

    def read_joules(self) -> Mapping[str, float | MeterUnavailable]:
        """Joules per domain since the meter was opened; counter wrap-around is handled.

        A domain that can no longer be read has a `MeterUnavailable` with the reason in place of its
        joules, and one that may be read again later a `MeterSilent`. Raises one of them if that
        holds for all domains.
        """
        ...

    def close(self) -> None:
        """Release what was opened; further calls do nothing."""
        ...


class Gauge(Protocol):
    """Joules of one domain since it was made, within a meter of several."""

    source: Source

    @property
    def cpu_s(self) -> float:
        """CPU seconds of its thread; 0 without one."""
        ...

    def joules(self) -> float:
        """Joules until now; raises `MeterUnavailable`, or what the meter makes one of."""
        ...

    def close(self) -> None:
        """End its thread."""
        ...


@dataclass(frozen=True)
class MeterContext:
    """Facts that a meter may need when it is opened."""

    gpu_uuids: tuple[str, ...] | None = ()
    """CUDA UUIDs of the GPUs in use, as torch writes them; None: those that CUDA would show."""
    gpu_indices: tuple[int, ...] | None = ()
    """The same GPUs by the training framework's indices."""
    replay: str | None = None
    """Trace file of the `replay` meter."""
    processes: tuple[int, ...] = ()
    """Ids of other processes that belong to the measured work."""
    wall_meter: str | None = None
    """Address of the `wall` meter, as `shelly:HOST` or `redfish:HOST`."""
    hwmon: tuple[str, ...] = ()
    """Sensors of the `hwmon` meter whose kind the user declares, as `cpu=CHIP/SENSOR`."""
    kinds_read: frozenset[str] = frozenset()
    """Kinds (`gpu`, `cpu`, `dram`, `wall`) that meters opened earlier read."""
    cpu_watts: float | None = None
    """Watts of the processor at full load, as the user declares them for an estimate."""
    ram_watts: float | None = None
    """Watts of the memory, as the user declares them for an estimate."""
    busy_share: float = 0.05
    """Share of the processors' time that others may use before a window is `contaminated`."""


def read_sources(meter: Meter) -> dict[str, Source]:
    """The domains of `meter`, each with its `Source`; raises `TypeError` for any other value."""
    return {domain: as_source(said) for domain, said in meter.domains().items()}
