"""Opening a run: everything that it needs is checked before any training."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from energybench.config import RunConfig
from energybench.energy.carbon import CarbonIntensity, carbon_intensity
from energybench.energy.machine import describe_machine, gpu_id
from energybench.energy.meters.base import MeterContext, kind_of
from energybench.energy.nodes import global_names
from energybench.energy.opening import open_meters
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.records.record import Layout
from energybench.registry import DATASETS
from energybench.runs.bench import Bench
from energybench.training.compiled import check_compiler
from energybench.training.device import find_device, gpu_uuid, share_threads
from energybench.training.distributed.group import ALONE, Group
from energybench.training.distributed.ranks import join
from energybench.training.precision import check_precision
from energybench.workloads.images.data.base import ImageData


def open_bench(
    config: RunConfig, progress: Progress, for_energy: bool = True, group: Group = ALONE
) -> Bench:
    """Check everything that a run needs and open it; raises `UsageError` before any training.

    A run `for_energy` needs the energy of the GPU that it uses; others do without. All ranks of
    `group` open it together; what one of them is refused, all are.
    """
    device = find_device(config.device, group.local_rank, group.local_size)
    context = replace(_devices(device, group), replay=config.measure.replay)
    data, meters = group.together(lambda: _checked(config, device, context, for_energy, group))
    carbon = open_carbon(config)
    machine, layout = describe_machine(), _layout(device, group)
    bench = Bench(config, data, device, meters, machine, progress, carbon)
    sources = global_names(group.gather(meters.source_names), group.nodes)
    return replace(bench, group=group, layout=layout, sources=sources)


def open_ranks(config: RunConfig, progress: Progress) -> Bench:
    """`open_bench` on each of the ranks that torchrun, or something like it, has started."""
    check_ranks(config, int(os.environ["WORLD_SIZE"]))
    group = join(partial(find_device, config.device))
    share_threads(group.local_size)
    return open_bench(config, progress, group=group)


def check_ranks(config: RunConfig, ranks: int) -> None:
    """Raise `UsageError` if `config` asks for what several ranks cannot do together."""
    size = config.finetune.batch_size
    if size % ranks:
        raise UsageError(
            f"--energy-batch-size is {size}, the images of one step on all ranks together; it "
            f"cannot be split evenly over {ranks}: name a multiple of {ranks}"
        )
    for asked, option in ((config.compile, "compile"), (config.largest_batch, "batch-size=auto")):
        if asked:
            raise UsageError(f"--energy-{option} is for one process; leave it out with {ranks}")


def open_data(config: RunConfig) -> ImageData:
    """The data set that `config` names."""
    kind, _, location = config.dataset.partition(":")
    data: ImageData = DATASETS.get(kind)(location)
    return data


def open_carbon(config: RunConfig) -> CarbonIntensity | None:
    """What the electricity emits, if `config` names a country."""
    country = config.measure.country
    return None if country is None else carbon_intensity(country)


def _checked(
    config: RunConfig, device: torch.device, context: MeterContext, for_energy: bool, group: Group
) -> tuple[ImageData, MeterSet]:
    """The data, and the meters of this machine if this rank is to read them."""
    check_precision(config.precision, device)
    if config.compile:
        check_compiler(device)
    data = open_data(config)
    images = data.split_sizes["train"]
    if images < config.finetune.batch_size and images % group.size:
        raise UsageError(
            f"one batch of all {images} training images cannot be split evenly over {group.size} "
            "ranks; lower --energy-batch-size"
        )
    if config.measure.trace and len(set(group.nodes)) > 1:
        raise UsageError("--energy-trace samples one machine; leave it out with several")
    if group.local_rank > 0:
        return data, MeterSet({})
    meters = open_meters(config.measure.meters, context)
    gpu_is_read = any(kind_of(domain) == "gpu" for domain in meters.sources)
    unread = device.type == "cuda" and not gpu_is_read
    if for_energy and unread and config.measure.meters == ("auto",):
        meters.close()
        raise UsageError(
            f"the energy of {device} cannot be read: {meters.unavailable['nvml']}; "
            "name the meters to do without it, for instance --energy-meter=rapl"
        )
    return data, meters


def _devices(device: torch.device, group: Group) -> MeterContext:
    """GPUs and processes of all ranks on this machine, for the one that reads its meters.

    Raises `UsageError` unless each rank has a GPU of its own, or none has any.
    """
    own = group.node, gpu_uuid(device), device.index, os.getpid()
    everyone = group.gather(own)
    _check_devices([uuid for _, uuid, _, _ in everyone])
    here = [found for found in everyone if found[0] == group.node]
    return MeterContext(
        gpu_uuids=tuple(uuid for _, uuid, _, _ in here if uuid is not None),
        gpu_indices=tuple(index for _, uuid, index, _ in here if uuid is not None),
        processes=tuple(pid for _, _, _, pid in here),
    )


def _check_devices(uuids: Sequence[str | None]) -> None:
    """By rank; None for a CPU."""
    for rank, uuid in enumerate(uuids):
        if (uuid is None) != (uuids[0] is None):
            raise UsageError(
                f"rank 0 trains on a {_kind(uuids[0])} and rank {rank} on a {_kind(uuid)}; "
                "name --energy-device=cpu, or check the drivers"
            )
        if uuid is not None and uuid in uuids[:rank]:
            raise UsageError(
                f"ranks {uuids.index(uuid)} and {rank} have the same GPU; start one process per "
                "GPU, or check CUDA_VISIBLE_DEVICES"
            )


def _kind(uuid: str | None) -> str:
    return "CPU" if uuid is None else "GPU"


def _layout(device: torch.device, group: Group) -> Layout | None:
    if group.size == 1:
        return None
    uuid = gpu_uuid(device)
    name = "cpu" if uuid is None else f"gpu:{gpu_id(f'GPU-{uuid}')}"
    devices, threads = zip(*group.gather((name, torch.get_num_threads())), strict=True)
    return Layout(list(group.nodes), list(devices), list(threads))
