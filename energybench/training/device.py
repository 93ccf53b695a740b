"""The device and the CPU threads of a run, or of each of its ranks."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import torch

from energybench.energy.cores import usable_cores
from energybench.errors import UsageError


def find_device(
    name: str, local_rank: int = 0, local_size: int = 1, use: bool = True
) -> torch.device:
    """Return the device called `name`; if it is a GPU, make it the current device.

    "auto" is a GPU where there is one. Each of the `local_size` ranks on this machine gets a GPU of
    its own; a rank whose launcher shows it a single GPU takes that one. With `use=False` CUDA is
    not initialized. Raises `UsageError` for a device that does not exist, and for more ranks than
    GPUs.
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
                "use device cpu, or check the driver and CUDA_VISIBLE_DEVICES"
            )
        device = torch.device("cuda", index)
        if use:
            torch.cuda.set_device(device)
    return device


def gpu_uuid(device: torch.device) -> str | None:
    """Return the GPU's UUID as NVML has it, without the prefix "GPU-"; None for the CPU."""
    if device.type != "cuda":
        return None
    return str(torch.cuda.get_device_properties(device).uuid)


@cache
def all_threads() -> int:
    """Return the number of threads for all usable cores: PyTorch's default, or fewer.

    PyTorch does not know the quota of a container. OMP_NUM_THREADS sets another number.
    """
    threads = torch.get_num_threads()
    return threads if "OMP_NUM_THREADS" in os.environ else min(threads, usable_cores())


def share_threads(local_size: int) -> None:
    """Use at most one rank's share of the usable cores, unless OMP_NUM_THREADS sets a number.

    More threads than cores would wait for each other.
    """
    share = max(1, all_threads() // local_size)
    if "OMP_NUM_THREADS" not in os.environ and share < torch.get_num_threads():
        torch.set_num_threads(share)


def free_memory() -> None:
    """Return what no object holds any more to the device, also after an error of the device."""
    gc.collect()
    if torch.cuda.is_initialized():
        with suppress(RuntimeError):  # a failed device cannot return memory
            torch.cuda.empty_cache()


@contextmanager
def with_all_threads() -> Iterator[None]:
    """Let PyTorch use all cores in the block, while the other ranks wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(all_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)
