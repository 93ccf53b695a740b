"""NVIDIA GPUs through the total-energy counter of NVML (Volta and newer)."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from energybench.hardware import gpu_id
from energybench.meters.base import MeterContext, MeterUnavailable


class NvmlMeter:
    """Reads the energy counters of the GPUs in use, and of no others.

    `uuids` are CUDA device UUIDs as torch or `CUDA_VISIBLE_DEVICES` write them: with or without
    `GPU-`, in full or abbreviated as long as only one GPU matches. Raises `MeterUnavailable`
    without GPUs in use, for MIG instances (the counter covers the whole board), and where NVML or
    its counter cannot be read. The counter is updated about every 100 ms.
    """

    source = "nvml_counter"
    min_window_s = 2.0

    def __init__(self, uuids: Sequence[str]) -> None:
        if not uuids:
            raise MeterUnavailable("no GPU in use")
        self._nvml = _initialized()
        self._open = True
        try:
            found = dict(_all_gpus(self._nvml))
            matches = [_match(self._nvml, uuid, found) for uuid in uuids]
            self._handles = {f"gpu:{gpu_id(uuid)}": found[uuid] for uuid in matches}
            self._start = {domain: self._counter(domain) for domain in self._handles}
            self._last = dict(self._start)
        except self._nvml.NVMLError as error:
            self.close()
            raise MeterUnavailable(f"NVML fails: {error}") from error
        except MeterUnavailable:
            self.close()
            raise

    @classmethod
    def open(cls, context: MeterContext) -> "NvmlMeter":
        """Read the context's GPUs."""
        return cls(context.gpu_uuids)

    def domains(self) -> list[str]:
        """`gpu:<id>` per GPU in use, the id as `energybench.hardware.gpu_id` makes it."""
        return list(self._handles)

    def read_joules(self) -> dict[str, float]:
        """Joules per GPU since the meter was opened.

        Raises `MeterUnavailable` when a GPU is lost or its counter starts anew.
        """
        now = {domain: self._counter(domain) for domain in self._handles}
        for domain, millijoules in now.items():
            if millijoules < self._last[domain]:
                raise MeterUnavailable(
                    f"the energy counter of {domain} went backwards (was the driver reloaded?)"
                )
        self._last = now
        return {domain: (now[domain] - self._start[domain]) / 1e3 for domain in now}

    def close(self) -> None:
        """Leave NVML."""
        if self._open:
            self._open = False
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def _counter(self, domain: str) -> int:
        """Millijoules since the driver was loaded."""
        nvml = self._nvml
        try:
            return int(nvml.nvmlDeviceGetTotalEnergyConsumption(self._handles[domain]))
        except nvml.NVMLError_NotSupported as error:
            raise MeterUnavailable(f"{domain} has no energy counter (older than Volta?)") from error
        except nvml.NVMLError as error:
            raise MeterUnavailable(f"cannot read the energy of {domain}: {error}") from error


def _initialized() -> Any:
    """The pynvml module with NVML initialized."""
    try:
        import pynvml
    except ImportError as error:
        raise MeterUnavailable("nvidia-ml-py is not installed") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise MeterUnavailable(f"no NVIDIA driver: {error}") from error
    return pynvml


def _all_gpus(nvml: Any) -> Iterator[tuple[str, Any]]:
    """UUID and handle of every GPU that NVML can open."""
    for index in range(nvml.nvmlDeviceGetCount()):
        with suppress(nvml.NVMLError):  # one lost or forbidden GPU does not hide the others
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            yield nvml.nvmlDeviceGetUUID(handle), handle


def _match(nvml: Any, wanted: str, found: dict[str, Any]) -> str:
    """The UUID in `found` that `wanted` names."""
    if wanted.upper().startswith("MIG"):
        raise MeterUnavailable(_mig_refusal(wanted))
    matches = [uuid for uuid in found if _bare(uuid).startswith(_bare(wanted))]
    if len(matches) > 1:
        raise MeterUnavailable(f"{wanted} names {len(matches)} GPUs; write more of its UUID")
    if any(_in_mig_mode(nvml, found[uuid]) for uuid in matches or found):
        raise MeterUnavailable(_mig_refusal(wanted))  # torch leaves out the prefix of instances
    if not matches:
        raise MeterUnavailable(f"NVML knows no GPU {wanted}")
    return matches[0]


def _mig_refusal(wanted: str) -> str:
    return f"{wanted} is on a GPU in MIG mode, whose energy cannot be split between its instances"


def _in_mig_mode(nvml: Any, handle: Any) -> bool:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:  # a GPU without MIG
        return False
    return bool(current)


def _bare(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-")
