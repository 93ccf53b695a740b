"""Open a session: check every input of a run before any training."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from energybench.config import RunConfig
from energybench.energy.coverage import WHOLE, kind_of
from energybench.energy.grid import grid_of
from energybench.energy.machine import describe_machine, gpu_id
from energybench.energy.meters.base import MeterContext
from energybench.energy.nodes import global_names
from energybench.energy.opening import open_meters
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.records.record import Placement
from energybench.registry import DATASETS
from energybench.runs.session import Session, varies
from energybench.training.compiled import check_compiler
from energybench.training.device import find_device, gpu_uuid, share_threads
from energybench.training.distributed.group import ALONE, Group
from energybench.training.distributed.ranks import join
from energybench.training.precision import check_precision
from energybench.workloads.base import PreparedData, Source

log = logging.getLogger(__name__)


def open_session(
    config: RunConfig,
    progress: Progress,
    for_energy: bool = True,
    group: Group = ALONE,
    say: Callable[[str], None] = log.info,
) -> Session:
    """Check and open everything that a run needs; raise `UsageError` before any training.

    `for_energy` refuses a GPU whose energy cannot be read; `say` is told one line before long work,
    such as pretraining. All ranks of `group` call this
    together; an error on one rank is raised on every rank.
    """
    device = find_device(config.device, group.local_rank, group.local_size)
    share_threads(group.local_size)
    context = replace(_devices(device, group), **config.measure.told_to_meters())
    source, data, meters = group.run_on_all(
        lambda: _checked(config, device, context, for_energy, group)
    )
    return Session(
        config,
        data,
        device,
        meters,
        describe_machine(),
        progress,
        grid_of(config.measure),
        group,
        _placement(device, group),
        global_names(group.all_gather(meters.source_names), group.nodes),
        assumptions=next(filter(None, group.all_gather(meters.assumptions)), None),
        source=source,
        say=say,
    )


def open_rank(
    config: RunConfig, progress: Progress, say: Callable[[str], None] = log.info
) -> Session:
    """Join the ranks that a launcher such as torchrun has started, and open this rank's session."""
    config.check_ranks(int(os.environ["WORLD_SIZE"]))
    group = join(partial(find_device, config.device))
    return open_session(config, progress, group=group, say=say)


def source_of(config: RunConfig) -> Source:
    """Return the data set that `config` names; raises `UsageError` for an unknown one."""
    kind, _, location = config.dataset.partition(":")
    source: Source = DATASETS.get(kind)(location)
    return source


def _checked(
    config: RunConfig, device: torch.device, context: MeterContext, for_energy: bool, group: Group
) -> tuple[Source, PreparedData, MeterSet]:
    """Open the data, and on each machine's first rank the meters."""
    check_precision(config.precision, device)
    if config.compile:
        check_compiler(device)
    source = source_of(config)
    data = source.prepare((), device, config.data, Progress(None), lambda line: None)
    if config.vary == "all" and not varies(data, config):
        raise UsageError(
            f"vary is all, and every seed starts from the same weights of {data.name}; leave vary "
            "out, or take a data set that pretrains its networks, without weights"
        )
    items = data.split_sizes["train"]
    if items < config.finetune.batch_size and items % group.world_size:
        raise UsageError(
            f"one batch of all {items} training items cannot be split evenly over "
            f"{group.world_size} ranks; lower batch_size"
        )
    if config.measure.trace and len(set(group.nodes)) > 1:
        raise UsageError("trace samples one machine; leave it out with several")
    if config.measure.wall_meter is not None and len(set(group.nodes)) > 1:
        raise UsageError("a wall meter reads one machine; leave it out with several")
    if group.local_rank > 0:
        return source, data, MeterSet({})
    meters = open_meters(config.measure.meters, context)
    if for_energy and config.measure.require and not meters.sources:
        meters.close()
        raise UsageError(
            f"energy is required, and no meter reads any here: {meters.why_unavailable}"
        )
    gpu_is_read = any(kind_of(domain) in ("gpu", WHOLE) for domain in meters.sources)
    unread = device.type == "cuda" and not gpu_is_read
    if for_energy and unread and config.measure.meters == ("auto",):
        meters.close()
        told = meters.unavailable
        why = [told[name] for name in ("nvml", "amdsmi") if name in told]
        raise UsageError(
            f"the energy of {device} cannot be read: {'; '.join(why)}; "
            "name the meters to do without it, for instance rapl"
        )
    return source, data, meters


def _devices(device: torch.device, group: Group) -> MeterContext:
    """List the GPUs and processes of all ranks on this machine, for its first rank's meters.

    Raises `UsageError` unless every rank has its own GPU, or no rank has a GPU.
    """
    own = group.node, gpu_uuid(device), device.index, os.getpid()
    everyone = group.all_gather(own)
    _check_devices([uuid for _, uuid, _, _ in everyone])
    here = [found for found in everyone if found[0] == group.node]
    return MeterContext(
        gpu_uuids=tuple(uuid for _, uuid, _, _ in here if uuid is not None),
        gpu_indices=tuple(index for _, uuid, index, _ in here if uuid is not None),
        processes=tuple(pid for _, _, _, pid in here),
    )


def _check_devices(uuids: Sequence[str | None]) -> None:
    """Check the UUIDs of all ranks; None stands for a CPU."""
    for rank, uuid in enumerate(uuids):
        if (uuid is None) != (uuids[0] is None):
            raise UsageError(
                f"rank 0 trains on a {_kind(uuids[0])} and rank {rank} on a {_kind(uuid)}; "
                "use device cpu, or check the drivers"
            )
        if uuid is not None and uuid in uuids[:rank]:
            raise UsageError(
                f"ranks {uuids.index(uuid)} and {rank} have the same GPU; start one process per "
                "GPU, or check CUDA_VISIBLE_DEVICES"
            )


def _kind(uuid: str | None) -> str:
    return "CPU" if uuid is None else "GPU"


def _placement(device: torch.device, group: Group) -> Placement | None:
    if group.world_size == 1:
        return None
    uuid = gpu_uuid(device)
    name = "cpu" if uuid is None else f"gpu:{gpu_id(f'GPU-{uuid}')}"
    devices, threads = zip(*group.all_gather((name, torch.get_num_threads())), strict=True)
    return Placement(list(group.nodes), list(devices), list(threads))
