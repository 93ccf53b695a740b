"""The GPUs in use: CUDA's names for devices, found among NVML's.

NVML sees every GPU of the node, in the order of the PCI bus, whatever `CUDA_VISIBLE_DEVICES` says.
CUDA sees some of these GPUs, in an order of its own. Only the UUID means the same to both.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from energybench.energy.meters.base import MeterUnavailable


@dataclass(frozen=True)
class Gpu:
    """One GPU as NVML knows it."""

    uuid: str
    name: str
    handle: Any


def initialized() -> Any:
    """The pynvml module with NVML initialized; raises `MeterUnavailable` if that fails."""
    try:
        import pynvml
    except ImportError as error:
        raise MeterUnavailable("nvidia-ml-py is not installed") from error
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise MeterUnavailable(f"no NVIDIA driver: {error}") from error
    return pynvml


def all_gpus(nvml: Any) -> list[Gpu]:
    """Every GPU that NVML can open, in the order of the PCI bus."""
    return list(_gpus(nvml))


def in_use(
    nvml: Any, uuids: Sequence[str] | None, environment: Mapping[str, str] = os.environ
) -> list[Gpu]:
    """The GPUs called `uuids`, each once; for None those that CUDA shows in `environment`.

    UUIDs are written as in torch or `CUDA_VISIBLE_DEVICES`: with or without `GPU-`, in full or
    abbreviated as long as only one GPU matches. Raises `MeterUnavailable` if there is no such GPU,
    for MIG instances (energy is counted per board), and if it is not certain which GPUs are meant.
    """
    found = all_gpus(nvml)
    chosen = _visible(nvml, found, environment) if uuids is None else uuids
    gpus = {gpu.uuid: gpu for gpu in (_match(nvml, uuid, found) for uuid in chosen)}
    if not gpus:
        raise MeterUnavailable("no GPU in use")
    return list(gpus.values())


def visible_uuids(
    nvml: Any, found: Sequence[Gpu], environment: Mapping[str, str] = os.environ
) -> list[str]:
    """The UUIDs among `found` that CUDA shows to a process with this environment.

    `CUDA_VISIBLE_DEVICES` may hold indices or UUIDs, as the CUDA C++ programming guide describes:
    the first entry that names no device hides itself and all after it, and a device named twice
    hides all. An index counts in CUDA's order, which is NVML's only among GPUs of one name or with
    `CUDA_DEVICE_ORDER=PCI_BUS_ID`. Raises `MeterUnavailable` for an index in any other case.
    """
    text = environment.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return [gpu.uuid for gpu in found]
    chosen: list[str] = []
    for entry in (part.strip() for part in text.split(",")):
        if entry.upper().startswith("MIG"):
            raise MeterUnavailable(_mig_refusal(entry))
        uuid = _at_index(entry, found, environment) if _is_number(entry) else _one(entry, found)
        if uuid is None:
            break
        chosen.append(uuid)
    return chosen if len(set(chosen)) == len(chosen) else []


def _visible(nvml: Any, found: Sequence[Gpu], environment: Mapping[str, str]) -> list[str]:
    uuids = visible_uuids(nvml, found, environment)
    if len(uuids) > 1 and "CUDA_VISIBLE_DEVICES" not in environment:
        raise MeterUnavailable(
            f"{len(uuids)} GPUs, and none is named as the one in use; "
            "set CUDA_VISIBLE_DEVICES, or give gpu_uuids"
        )
    return uuids


def _gpus(nvml: Any) -> Iterator[Gpu]:
    for index in range(nvml.nvmlDeviceGetCount()):
        with suppress(nvml.NVMLError):  # one lost or forbidden GPU does not hide the others
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            yield Gpu(nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle), handle)


def _is_number(entry: str) -> bool:
    return entry.removeprefix("-").isdigit()


def _at_index(entry: str, found: Sequence[Gpu], environment: Mapping[str, str]) -> str | None:
    index = int(entry)
    if not 0 <= index < len(found):
        return None
    in_bus_order = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if len({gpu.name for gpu in found}) > 1 and not in_bus_order:
        raise MeterUnavailable(
            f"CUDA_VISIBLE_DEVICES={entry} among different GPUs counts in CUDA's own order; "
            "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name UUIDs"
        )
    return found[index].uuid


def _one(entry: str, found: Sequence[Gpu]) -> str | None:
    matches = _matches(entry, found)
    return matches[0].uuid if len(matches) == 1 else None


def _match(nvml: Any, wanted: str, found: Sequence[Gpu]) -> Gpu:
    """The GPU in `found` that `wanted` names."""
    if wanted.upper().startswith("MIG"):
        raise MeterUnavailable(_mig_refusal(wanted))
    matches = _matches(wanted, found)
    if len(matches) > 1:
        raise MeterUnavailable(f"{wanted} names {len(matches)} GPUs; write more of its UUID")
    if any(_in_mig_mode(nvml, gpu.handle) for gpu in matches or found):
        raise MeterUnavailable(_mig_refusal(wanted))  # torch leaves out the prefix of instances
    if not matches:
        raise MeterUnavailable(f"NVML knows no GPU {wanted}")
    return matches[0]


def _matches(wanted: str, found: Sequence[Gpu]) -> list[Gpu]:
    return [gpu for gpu in found if wanted and _bare(gpu.uuid).startswith(_bare(wanted))]


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
