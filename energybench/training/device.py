"""The device that a run trains on, or each of its ranks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from energybench.errors import UsageError


def find_device(
    name: str, local_rank: int = 0, local_size: int = 1, use: bool = True
) -> torch.device:
    """The device that `--energy-device` names, made the current one if it is a GPU.

    "auto" is a GPU where there is one. Of `local_size` ranks on this machine each has a GPU of its
    own; the one that it sees, if its launcher shows it one only. Without `use` it is only looked
    for: CUDA is not opened. Raises `UsageError` for a device that is not here, and for more ranks
    than GPUs.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}; use cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; use cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if local_size > 1 and device.index is not None:
            raise UsageError(f"{local_size} processes cannot share {name}; name cuda, for one each")
        if local_size > count > 1:
            raise UsageError(
                f"{local_size} processes, but PyTorch sees {count} CUDA devices here; start one "
                "process per device, or check CUDA_VISIBLE_DEVICES"
            )
        own = 0 if count == 1 else local_rank
        index = own if device.index is None else device.index
        if index >= count:
            raise UsageError(
                f"no device cuda:{index}: this PyTorch sees {count} CUDA devices; "
                "use --energy-device=cpu, or check the driver and CUDA_VISIBLE_DEVICES"
            )
        device = torch.device("cuda", index)
        if use:
            torch.cuda.set_device(device)
    return device


def gpu_uuid(device: torch.device) -> str | None:
    """As NVML has it, without its prefix; None for the CPU."""
    if device.type != "cuda":
        return None
    return str(torch.cuda.get_device_properties(device).uuid)


@cache
def all_threads() -> int:
    """Threads that PyTorch takes on this machine when it has it for itself."""
    return torch.get_num_threads()


def share_threads(local_size: int) -> None:
    """Compute with one rank's share of the cores, unless OMP_NUM_THREADS says with how many.

    With more threads than cores they would wait for each other.
    """
    if local_size > 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, all_threads() // local_size))


@contextmanager
def with_all_threads() -> Iterator[None]:
    """In the block PyTorch has all cores: other ranks wait meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(all_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)
