"""NVIDIA GPUs through NVML: the total-energy counter, or polled power on GPUs without one."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from energybench.energy.machine import gpu_id
from energybench.energy.meters.base import Gauge, MeterContext, MeterUnavailable
from energybench.energy.meters.nvml.devices import Gpu, in_use, initialized
from energybench.energy.meters.nvml.state import device_state
from energybench.energy.meters.polling import PolledPower
from energybench.energy.readings import DeviceState
from energybench.energy.source import NVML_COUNTER, NVML_POWER, Source


class NvmlMeter:
    """Reads the energy of the GPUs in use, and of no others.

    GPUs of the Volta generation and newer have a counter that is updated about every 100 ms; the
    power of older ones is polled. `uuids` are CUDA's, see `devices.in_use`; None stands for the
    GPUs that CUDA shows. `processes` belong to the measured work, so they do not count as others.
    Raises `MeterUnavailable` without GPUs in use, for MIG, and for GPUs that NVML cannot read.
    """

    min_window_s = 2.0
    update_s = 0.1
    """About; of the counter, and of polling."""

    def __init__(self, uuids: Sequence[str] | None, processes: Collection[int] = ()) -> None:
        if uuids is not None and not uuids:
            raise MeterUnavailable("no GPU in use")
        self._processes = processes
        self._nvml = initialized()
        self._gpus: dict[str, Gpu] = {}
        self._gauges: dict[str, Gauge] = {}
        self._open = True
        try:
            for gpu in in_use(self._nvml, uuids):
                domain = f"gpu:{gpu_id(gpu.uuid)}"
                self._gpus[domain] = gpu
                self._gauges[domain] = _gauge(self._nvml, domain, gpu)
        except self._nvml.NVMLError as error:
            self.close()
            raise MeterUnavailable(f"NVML fails: {error}") from error
        except MeterUnavailable:
            self.close()
            raise

    @classmethod
    def open(cls, context: MeterContext) -> "NvmlMeter":
        """Read the context's GPUs."""
        return cls(context.gpu_uuids, context.processes)

    def domains(self) -> dict[str, Source]:
        """`gpu:<id>` per GPU in use, the id as `energybench.energy.machine.gpu_id` makes it."""
        return {domain: gauge.source for domain, gauge in self._gauges.items()}

    def read_joules(self) -> dict[str, float | MeterUnavailable]:
        """Joules per GPU since the meter was opened.

        A GPU that is lost, or whose counter went backwards, has a `MeterUnavailable` in place of
        its joules.
        """
        return {domain: self._joules(domain) for domain in self._gauges}

    def states(self) -> dict[str, DeviceState]:
        """Clocks, temperature, throttling and other processes of each GPU, now."""
        return {
            domain: device_state(self._nvml, gpu.handle, self._processes)
            for domain, gpu in self._gpus.items()
        }

    def background_cpu_s(self) -> float:
        """CPU seconds spent polling power; 0 if all GPUs have counters."""
        return sum(gauge.cpu_s for gauge in self._gauges.values())

    def close(self) -> None:
        """Stop polling and leave NVML."""
        if not self._open:
            return
        self._open = False
        for gauge in self._gauges.values():
            gauge.close()
        with suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()

    def _joules(self, domain: str) -> float | MeterUnavailable:
        try:
            return self._gauges[domain].joules()
        except self._nvml.NVMLError as error:
            return MeterUnavailable(f"cannot read the energy of {domain}: {error}")
        except MeterUnavailable as error:
            return error


def _gauge(nvml: Any, domain: str, gpu: Gpu) -> Gauge:
    try:
        return _Counter(nvml, domain, gpu.handle)
    except nvml.NVMLError_NotSupported:
        pass
    try:
        return _Polled(lambda: float(nvml.nvmlDeviceGetPowerUsage(gpu.handle)) / 1e3)
    except nvml.NVMLError_NotSupported as error:
        raise MeterUnavailable(f"{domain} has neither an energy counter nor power") from error


class _Counter:
    """The counter of one GPU, in millijoules since the driver was loaded."""

    source = NVML_COUNTER
    cpu_s = 0.0

    def __init__(self, nvml: Any, domain: str, handle: Any) -> None:
        self._read: Callable[[], int] = partial(nvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        self._domain = domain
        self._start: int = self._read()
        self._last = self._start

    def joules(self) -> float:
        now = self._read()
        if now < self._last:
            raise MeterUnavailable(
                f"the energy counter of {self._domain} went backwards (was the driver reloaded?)"
            )
        self._last = now
        return (now - self._start) / 1e3

    def close(self) -> None:
        """Nothing to release."""


class _Polled(PolledPower):
    source = NVML_POWER
