"""Weights divided among ranks while they are trained, by PyTorch's FSDP2 (`fully_shard`).

Each rank keeps a share of every weight, of its gradient and of its momentum, and gets a layer's
whole weights only while it computes with them. Y. Zhao et al., "PyTorch FSDP" (arXiv 2304.11277).
The network itself stays whole, on the host, and gets the trained weights at the end.

Only `divided` imports FSDP2, which takes about a second: most processes divide nothing.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def divided(
    parts: nn.Module, model: nn.Module, device: torch.device, world_size: int
) -> Iterator[None]:
    """Divide the parameters of `parts`, a copy of `model` on `device`, among the ranks.

    The default process group has `world_size` ranks, all with the same `model`, which stays on the
    host in the block. At its end `model` gets the parameters and buffers of `parts`; an error
    leaves it as it was.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    home = next(model.parameters()).device
    model.to("cpu")
    mesh = init_device_mesh(device.type, (world_size,))
    for block in _blocks(parts):
        fully_shard(block, mesh=mesh)
    fully_shard(parts, mesh=mesh)
    yield
    with torch.no_grad():
        trained = {name: _whole(value).cpu() for name, value in parts.state_dict().items()}
        model.load_state_dict(trained)
    model.to(home)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Keep all weights of a `divided` model whole in the block; leave any other model alone.

    Then its forward needs no other rank, so that ranks may judge different numbers of batches.
    """
    if not _may_be_divided():
        yield
        return
    from torch.distributed.fsdp import FSDPModule

    shards = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in shards:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    try:
        yield
    finally:
        for module in shards:
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()


def is_sharded(parameter: torch.Tensor) -> bool:
    """Return whether this rank has a share of `parameter` only."""
    if not _may_be_divided():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(parameter, DTensor)


def _may_be_divided() -> bool:
    """Return whether FSDP2 was imported: without it no model of this process is divided."""
    return "torch.distributed.fsdp" in sys.modules


def _blocks(model: nn.Module) -> list[nn.Module]:
    """Return the outermost repeated layers, such as the blocks of a transformer, that have weights.

    Each is gathered by itself. What is left, such as embeddings and a head tied to them, is
    gathered together for the whole forward and backward pass.
    """
    found: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in model.modules():
        if module in inside or not isinstance(module, nn.Sequential | nn.ModuleList):
            continue
        for child in module.children():
            inside.update(child.modules())
            if any(True for _ in child.parameters()):
                found.append(child)
    return found


def _whole(value: torch.Tensor) -> torch.Tensor:
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value
