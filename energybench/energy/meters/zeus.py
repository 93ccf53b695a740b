"""Counters of the Zeus library: AMD GPUs, Apple silicon, Jetson, and devices that it adds later.

Zeus (https://ml.energy/zeus) is the optional extra `energybench[zeus]`. Its cumulative device
counters are read and not its `ZeusMonitor`: windows of that cannot overlap ours, and its total is 0
if there is no device.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from energybench.energy.coverage import kind_of
from energybench.energy.meters.base import MeterContext, MeterUnavailable
from energybench.energy.quiet import quietly
from energybench.energy.source import ZEUS, Source

Counter = Callable[[], float]
"""Cumulative millijoules."""

SOC_FIELDS = {
    "cpu:soc": ("cpu_total_mj", "cpu_energy_mj"),
    "gpu:soc": ("gpu_mj", "gpu_energy_mj"),
    "dram:soc": ("dram_mj",),
    "ane:soc": ("ane_mj",),
}
"""Domain -> its fields in Zeus' measurements of Apple silicon and of Jetson."""


class ZeusMeter:
    """Reads the kinds of devices that no other meter reads.

    `gpu_indices` are the training framework's indices of the GPUs in use; None stands for the only
    GPU. `skip` names kinds (`gpu`, `cpu`, `dram`) that a better meter reads. Raises
    `MeterUnavailable` if Zeus is not installed or finds nothing to read.
    """

    min_window_s = 2.0
    fallback = True

    def __init__(
        self, gpu_indices: Sequence[int] | None = None, skip: Collection[str] = ()
    ) -> None:
        try:
            with quietly():
                from zeus import device
                from zeus.exception import ZeusBaseError
        except ImportError as error:
            raise MeterUnavailable(
                "Zeus is not installed; pip install 'energybench[zeus]'"
            ) from error
        self._error: type[Exception] = ZeusBaseError
        self._counters: dict[str, Counter] = {}
        reasons = []
        for find in (_gpus, _cpus, _soc):
            try:
                found = dict(find(device, gpu_indices))
            except Exception as error:  # of Zeus or of a vendor's library under it
                reasons.append(str(error).rstrip("."))
                continue
            self._counters.update(
                {name: read for name, read in found.items() if kind_of(name) not in skip}
            )
        if not self._counters:
            why = "; ".join(reasons) or "other meters read all of it"
            raise MeterUnavailable(f"Zeus finds nothing to read: {why}")
        self._start = {domain: read() for domain, read in self._counters.items()}

    @classmethod
    def open(cls, context: MeterContext) -> "ZeusMeter":
        """Read the kinds that no meter opened earlier reads."""
        return cls(context.gpu_indices, skip=context.kinds_read)

    def domains(self) -> dict[str, Source]:
        """`gpu:<index>`, `cpu:<index>`, `dram:<index>`, or those of a system on a chip."""
        return dict.fromkeys(self._counters, ZEUS)

    def read_joules(self) -> dict[str, float | MeterUnavailable]:
        """Joules per domain since the meter was opened, or why a domain can no longer be read."""
        return {domain: self._joules(domain) for domain in self._counters}

    def close(self) -> None:
        """Nothing to release: Zeus keeps one set of handles per process."""

    def _joules(self, domain: str) -> float | MeterUnavailable:
        try:
            now = self._counters[domain]()
        except self._error as error:
            return MeterUnavailable(f"Zeus cannot read {domain}: {error}")
        if now < self._start[domain]:
            return MeterUnavailable(f"the counter of {domain} went backwards")
        return (now - self._start[domain]) / 1e3


def _gpus(device: Any, indices: Sequence[int] | None) -> Iterator[tuple[str, Counter]]:
    if indices is not None and not indices:
        raise MeterUnavailable("no GPU in use")
    gpus = device.get_gpus()
    if type(gpus).__name__ == "NVIDIAGPUs":  # would read the boards that nvml refuses, MIG's too
        raise MeterUnavailable("NVIDIA's GPUs are for the meter nvml")
    if indices is None and len(gpus) > 1:
        raise MeterUnavailable(f"{len(gpus)} GPUs, and none is named as the one in use")
    for index in range(len(gpus)) if indices is None else indices:
        if not gpus.supports_get_total_energy_consumption(index):
            raise MeterUnavailable(f"GPU {index} has no energy counter")
        yield f"gpu:{index}", partial(gpus.get_total_energy_consumption, index)


def _cpus(device: Any, _: object) -> Iterator[tuple[str, Counter]]:
    cpus = device.get_cpus()
    for index in range(len(cpus)):
        read = partial(cpus.get_total_energy_consumption, index)
        yield f"cpu:{index}", partial(_field, read, "cpu_mj")
        if cpus.supports_get_dram_energy_consumption(index):
            yield f"dram:{index}", partial(_field, read, "dram_mj")


def _soc(device: Any, _: object) -> Iterator[tuple[str, Counter]]:
    soc = device.get_soc()
    first = soc.get_total_energy_consumption()
    for domain, fields in SOC_FIELDS.items():
        for field in fields:
            if getattr(first, field, None) is not None:
                yield domain, partial(_field, soc.get_total_energy_consumption, field)


def _field(read: Callable[[], Any], name: str) -> float:
    return float(getattr(read(), name))
