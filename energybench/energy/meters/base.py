"""What a meter is, how it is opened, and how it says that it is not there.

A meter is a class with the members of `Meter`. By default it is constructed without arguments; a
class method `open(context: MeterContext)` is called instead where there is one. A class with
`fallback = True` is opened after all others: it reads only the kinds that they leave. Two more
members are optional: `background_cpu_s()`, the CPU seconds that threads of its own have used since
it was opened, and `states()`, the state of each device now, by domain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from energybench.errors import EnergybenchError


class MeterUnavailable(EnergybenchError):
    """A meter, or one of its domains, cannot be read; the message is the reason, in one line."""


class Meter(Protocol):
    """Reads cumulative energy of one or more domains. Opening is constructing."""

    min_window_s: float
    """Shortest window that its resolution supports; shorter ones are marked `short_window`."""

    def domains(self) -> Mapping[str, str]:
        """What it reads, and how: `gpu:<id>`, `cpu:<package>`, `dram:<package>` -> the source.

        Sources are `nvml_counter`, `nvml_power`, `rapl`, `codecarbon_estimate`, `zeus`, `replay`.
        """
        ...

    def read_joules(self) -> Mapping[str, float | MeterUnavailable]:
        """Joules per domain since the meter was opened; counter wrap-around is handled.

        A domain that can no longer be read has the reason in place of its joules. Raises
        `MeterUnavailable` when that holds for all of them.
        """
        ...

    def close(self) -> None:
        """Release what was opened; further calls do nothing."""
        ...


@dataclass(frozen=True)
class MeterContext:
    """What a meter is told when it is opened."""

    gpu_uuids: tuple[str, ...] | None = ()
    """CUDA UUIDs of the GPUs in use, as torch writes them; None: those that CUDA would show."""
    gpu_indices: tuple[int, ...] | None = ()
    """The same GPUs, as the training framework counts them."""
    replay: str | None = None
    """Trace file of the `replay` meter."""
    processes: tuple[int, ...] = ()
    """Ids of other processes that belong to what is measured."""
    kinds_read: frozenset[str] = frozenset()
    """Kinds (`gpu`, `cpu`, `dram`) that meters opened earlier read."""


def kind_of(domain: str) -> str:
    """The part of a domain's name before the colon: `gpu`, `cpu`, `dram`."""
    return domain.partition(":")[0]
