"""What a meter is, how it is opened, and how it says that it is not there.

A meter is a class with the members of `Meter`. By default it is constructed without arguments; a
class method `open(context: MeterContext)` is called instead where there is one. A class with
`fallback = True` is opened after all others: it reads only the kinds that they leave.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from energybench.errors import EnergybenchError


class MeterUnavailable(EnergybenchError):
    """A meter cannot read on this machine; the message is the reason, in one line."""


class Meter(Protocol):
    """Reads cumulative energy of one or more domains. Opening is constructing."""

    source: str
    """How it reads: `nvml_counter`, `nvml_power`, `rapl`, `codecarbon_estimate`, `replay`."""

    min_window_s: float
    """Shortest window that its resolution supports; shorter ones are marked `short_window`."""

    def domains(self) -> Sequence[str]:
        """Names of what it reads: `gpu:<id>`, `cpu:<package>`, `dram:<package>`."""
        ...

    def read_joules(self) -> Mapping[str, float]:
        """Joules per domain since the meter was opened; counter wrap-around is handled.

        Raises `MeterUnavailable` when the device can no longer be read.
        """
        ...

    def close(self) -> None:
        """Release what was opened; further calls do nothing."""
        ...


@dataclass(frozen=True)
class MeterContext:
    """What a meter is told when it is opened."""

    gpu_uuids: tuple[str, ...] = ()
    """CUDA UUIDs of the GPUs in use, as torch or `CUDA_VISIBLE_DEVICES` write them."""
    replay: str | None = None
    """Trace file of the `replay` meter."""
    kinds_read: frozenset[str] = frozenset()
    """Kinds (`gpu`, `cpu`, `dram`) that meters opened earlier read."""


def kind_of(domain: str) -> str:
    """The part of a domain's name before the colon: `gpu`, `cpu`, `dram`."""
    return domain.partition(":")[0]
