"""AMD GPUs through AMD SMI: the energy counter, or polled power on GPUs without one.

The module `amdsmi` comes with ROCm, and from PyPI as bindings to ROCm's library.
`amdsmi_get_energy_count` gives `energy_accumulator` (called `power` before 6.4) and
`counter_resolution`; their product is microjoules since the GPU was reset. `amdsmi_get_power_info`
gives watts as `socket_power` (from 7.0), `current_socket_power` (MI300 and newer) or
`average_socket_power`, with "N/A" for what a GPU does not tell (`py-interface/README.md` and
`amdsmi_interface.py` of github.com/ROCm/amdsmi, 6.3 and 7.0.2).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from energybench.energy.machine import gpu_id
from energybench.energy.meters.base import (
    Gauge,
    MeterAbsent,
    MeterContext,
    MeterUnavailable,
)
from energybench.energy.meters.polling import PolledPower
from energybench.energy.quiet import quietly
from energybench.energy.source import AMDSMI_COUNTER, AMDSMI_POWER, Source

NO_COUNT = (0, 2**64 - 1)
"""Counts of GPUs that do not count."""
POWERS = ("socket_power", "current_socket_power", "average_socket_power")
"""Fields with watts, best first."""


class AmdSmiMeter:
    """Reads the energy of the AMD GPUs in use (`gpu:<id>`), and of no others.

    `uuids` are those of the training framework; None stands for the machine's only GPU. A UUID is
    looked for among HIP's (`amdsmi_get_gpu_enumeration_info`, from ROCm 6.4); where there is only
    one GPU, it is that one. Raises `MeterAbsent` without AMD SMI or without GPUs, and
    `MeterUnavailable` where it is not certain which GPUs are meant or one cannot be read.
    """

    min_window_s = 2.0

    def __init__(self, uuids: Sequence[str] | None = None) -> None:
        if uuids is not None and not uuids:
            raise MeterAbsent("no GPU in use")
        self._smi = _imported()
        self._error: type[Exception] = self._smi.AmdSmiException
        self._gauges: dict[str, Gauge] = {}
        try:
            self._smi.amdsmi_init()
        except self._error as error:
            raise MeterAbsent(f"no AMD driver: {_line(error)}") from error
        self._open = True
        try:
            for handle in _in_use(self._smi, uuids):
                domain = f"gpu:{gpu_id(self._smi.amdsmi_get_gpu_device_uuid(handle))}"
                self._gauges[domain] = _gauge(self._smi, domain, handle)
        except self._error as error:
            self.close()
            raise MeterUnavailable(f"AMD SMI fails: {_line(error)}") from error
        except MeterUnavailable:
            self.close()
            raise

    @classmethod
    def open(cls, context: MeterContext) -> "AmdSmiMeter":
        """Read the context's GPUs, unless NVIDIA's are in use."""
        if "gpu" in context.kinds_read:
            raise MeterAbsent("another meter reads the GPUs")
        return cls(context.gpu_uuids)

    def domains(self) -> dict[str, Source]:
        """`gpu:<id>` per GPU in use, the id as `energybench.energy.machine.gpu_id` makes it."""
        return {domain: gauge.source for domain, gauge in self._gauges.items()}

    def read_joules(self) -> dict[str, float | MeterUnavailable]:
        """Joules per GPU since the meter was opened, or why a GPU can no longer be read."""
        found: dict[str, float | MeterUnavailable] = {}
        for domain, gauge in self._gauges.items():
            try:
                found[domain] = gauge.joules()
            except MeterUnavailable as error:
                found[domain] = error
            except self._error as error:
                found[domain] = MeterUnavailable(f"AMD SMI cannot read {domain}: {_line(error)}")
        return found

    def background_cpu_s(self) -> float:
        """CPU seconds spent polling power; 0 if all GPUs have counters."""
        return sum(gauge.cpu_s for gauge in self._gauges.values())

    def close(self) -> None:
        """Stop polling and leave AMD SMI."""
        if not self._open:
            return
        self._open = False
        for gauge in self._gauges.values():
            gauge.close()
        with suppress(self._error):
            self._smi.amdsmi_shut_down()


def _imported() -> Any:
    try:
        with quietly():
            import amdsmi
    except ImportError as error:
        raise MeterAbsent("amdsmi is not installed; it comes with ROCm") from error
    except Exception as error:  # bindings without ROCm's library: OSError, KeyError, ...
        raise MeterAbsent("amdsmi finds no ROCm") from error
    return amdsmi


def _in_use(smi: Any, uuids: Sequence[str] | None) -> list[Any]:
    handles = list(smi.amdsmi_get_processor_handles())
    if not handles:
        raise MeterAbsent("no AMD GPU")
    if len(handles) == 1:
        return handles
    if uuids is None:
        raise MeterUnavailable(
            f"{len(handles)} AMD GPUs, and none is named as the one in use; give gpu_uuids"
        )
    return list(dict.fromkeys(_match(smi, uuid, handles) for uuid in uuids))


def _match(smi: Any, uuid: str, handles: Sequence[Any]) -> Any:
    for handle in handles:
        with suppress(smi.AmdSmiException, AttributeError):  # older than 6.4
            if _bare(smi.amdsmi_get_gpu_enumeration_info(handle)["hip_uuid"]) in _spelt(uuid):
                return handle
    raise MeterUnavailable(
        f"AMD SMI knows no GPU {uuid}; hide the other GPUs from this machine's container, "
        "or update ROCm to 6.4"
    )


def _spelt(uuid: str) -> Iterator[str]:
    """Yield `uuid` without its prefix, and the text whose bytes it is: HIP's are ASCII digits."""
    yield _bare(uuid)
    with suppress(ValueError):
        yield bytes.fromhex(_bare(uuid)).decode("ascii").lower()


def _bare(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-").replace("-", "")


def _gauge(smi: Any, domain: str, handle: Any) -> Gauge:
    with suppress(smi.AmdSmiException):
        if _count(smi, handle)[0] not in NO_COUNT:
            return _Counter(domain, lambda: _count(smi, handle))
    try:
        return _Polled(lambda: _power(smi, handle))
    except smi.AmdSmiException as error:
        raise MeterUnavailable(
            f"{domain} has neither an energy counter nor power: {_line(error)}"
        ) from error


def _count(smi: Any, handle: Any) -> tuple[int, float]:
    """The count, and microjoules per count."""
    found = smi.amdsmi_get_energy_count(handle)
    return int(found.get("energy_accumulator", found.get("power", 0))), found["counter_resolution"]


def _power(smi: Any, handle: Any) -> float:
    found = smi.amdsmi_get_power_info(handle)
    for name in POWERS:
        watts = found.get(name, "N/A")
        if isinstance(watts, int | float) and watts != 0xFFFF:
            return float(watts)
    raise MeterUnavailable("AMD SMI tells no power of this GPU")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


class _Counter:
    """The counter of one GPU, of 64 bits: it only goes back if the GPU was reset."""

    source = AMDSMI_COUNTER
    cpu_s = 0.0

    def __init__(self, domain: str, read: Callable[[], tuple[int, float]]) -> None:
        self._domain = domain
        self._read = read
        self._start = self._last = read()[0]

    def joules(self) -> float:
        now, resolution_uj = self._read()
        if now < self._last:
            raise MeterUnavailable(
                f"the energy counter of {self._domain} went backwards (was the GPU reset?)"
            )
        self._last = now
        return (now - self._start) * resolution_uj / 1e6

    def close(self) -> None:
        """Nothing to release."""


class _Polled(PolledPower):
    source = AMDSMI_POWER
