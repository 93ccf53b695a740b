"""Several ranks in PyTorch's process group: their rendezvous, collectives and failures."""

import copy
import hashlib
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from energybench.errors import EnergybenchError, UsageError
from energybench.training.distributed.batch_norm import over_all_ranks
from energybench.training.distributed.group import Group
from energybench.training.distributed.sharding import divided

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=1)
"""Time limit of a collective: a dead rank is noticed at once, a live one may wait for a GPU."""
PATIENCE = timedelta(seconds=3)
"""How long a rank that has failed waits for the others to report the same error."""
REPORTING = timedelta(minutes=10)
"""How long the other ranks wait for rank 0 to report: launchers end all ranks when one ends."""
LAST_WORDS = timedelta(seconds=8)
"""The same in a broken group, where rank 0 may hang in a collective."""


class Ranks(Group):
    """Several processes in PyTorch's process group.

    Collectives use gloo. Gradients and batch norms on GPUs use NCCL with PyTorch's own time limit
    of some minutes, so NCCL notices a dead rank only then.
    """

    def __init__(self, store: Store, rank: int, nodes: tuple[int, ...], device: torch.device):
        self.rank, self.world_size, self.nodes = rank, len(nodes), nodes
        self._store = PrefixStore("energybench", store)
        self._device = device
        self._cells = 0
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=self.world_size, timeout=LONGEST_WAIT
        )
        self._devices: dist.ProcessGroup | None = None

    def barrier(self) -> None:
        """Wait until every rank has called this."""
        dist.all_reduce(torch.zeros(1))

    def all_gather(self, value: T) -> list[T]:
        """Return every rank's value, in the order of ranks, on every rank."""
        values: list[T] = [value] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: T) -> T:
        """Return rank 0's value on every rank, its tensors on the rank's own device."""
        packed: list[bytes] = [b""]
        if self.rank == 0:
            buffer = io.BytesIO()
            torch.save(value, buffer)
            packed = [buffer.getvalue()]
        dist.broadcast_object_list(packed, device=torch.device("cpu"))
        if self.rank == 0:
            return value
        found: T = torch.load(  # written by rank 0 of this run
            io.BytesIO(packed[0]), map_location=self._device, weights_only=False
        )
        return found

    @contextmanager
    def data_parallel(self, model: nn.Module) -> Iterator[nn.Module]:
        """Wrap `model` in DistributedDataParallel; its batch norms see the batches of all ranks.

        Batch norm statistics are then equal on all ranks, so buffers are not broadcast.
        """
        own = None
        if self._device.type == "cuda":
            own = [self._device]
            self._devices = self._devices or dist.new_group(backend="nccl")
        with over_all_ranks(model, self._device, self._devices):
            wrapped = DistributedDataParallel(model, device_ids=own, process_group=self._devices)
            wrapped.broadcast_buffers = False
            yield wrapped

    @contextmanager
    def sharded(self, model: nn.Module) -> Iterator[nn.Module]:
        """Give a copy of `model` whose weights are divided, see `sharding.divided`.

        Its batch norms see the batches of all ranks.
        """
        if self._device.type == "cuda":
            self._devices = self._devices or dist.new_group(backend="nccl")
        parts = copy.deepcopy(model)
        with (
            over_all_ranks(parts, self._device, self._devices),
            divided(parts, model, self._device, self.world_size),
        ):
            yield parts

    def broadcast_unless_equal(self, made: T, model: nn.Module) -> T:
        """Return `made` where all ranks' `model`s have equal weights, else rank 0's `made`."""
        return made if len(set(self.all_gather(_digest(model)))) == 1 else self.broadcast(made)

    def run_on_all(self, work: Callable[[], T]) -> T:
        """Run `work` on every rank; an `EnergybenchError` of one rank is raised on all of them."""
        error: EnergybenchError | None = None
        try:
            done = work()
        except EnergybenchError as raised:
            error = raised
        errors = self.all_gather(error)
        first = next((rank for rank, one in enumerate(errors) if one is not None), None)
        if first is None:
            return done
        found = errors[first]
        assert found is not None
        if len({str(one) for one in errors}) == 1:
            raise found
        raise type(found)(f"rank {first}: {found}")

    def first_failure(self, error: str | None) -> str | None:
        """End a cell: return the error of the rank that failed first, None if no rank failed.

        The same error on all ranks leaves the group intact. If one rank fails by itself, the others
        may be stuck in a collective: the group is then `broken`.
        """
        self._cells += 1
        cell = PrefixStore(f"cell{self._cells}", self._store)
        try:
            missing = self._arrive(cell, error)
            self.broken = cell.check(["broken"])
            count = cell.add("failures", 0)
            failures = [cell.get(f"failure{i + 1}").decode().partition(" ") for i in range(count)]
        except dist.DistError as lost:  # rank 0, which holds the store, is gone
            self.broken = True
            return error or _first_line(lost)
        if not failures:
            return missing
        rank, _, text = failures[0]
        alike = count == self.world_size and {one for _, _, one in failures} == {text}
        return text if alike else f"rank {rank}: {text}"

    def _arrive(self, cell: Store, error: str | None) -> str | None:
        """Write this rank's end to `cell` and wait for the others; name one that does not come."""
        if error is not None:
            cell.set(f"failure{cell.add('failures', 1)}", f"{self.rank} {error}")
        cell.set(f"ended{self.rank}", "")
        try:
            cell.wait([f"ended{rank}" for rank in range(self.world_size)], PATIENCE)
        except dist.DistStoreError:
            cell.set("broken", "")
            gone = next(rank for rank in range(self.world_size) if not cell.check([f"ended{rank}"]))
            return f"rank {gone} does not answer"
        return None

    def close(self) -> None:
        """Leave the group, once rank 0 has reported.

        In a broken group, rank 0 may wait for this rank: the process group is destroyed first.
        """
        if self.broken:
            if self._devices is not None:
                self._devices.abort()  # to destroy it would take all ranks
            dist.destroy_process_group()
        with suppress(dist.DistError):
            if self.rank == 0:
                self._store.set("reported", "")
            else:
                self._store.wait(["reported"], LAST_WORDS if self.broken else REPORTING)
        if not self.broken:
            dist.destroy_process_group()


def join(device_of: Callable[[int, int], torch.device], host: str | None = None) -> Ranks:
    """Join the other ranks through the environment that torchrun sets (`RANK`, `MASTER_ADDR`, ...).

    `device_of(local_rank, local_size)` returns this rank's device. `host` names the machine; by
    default, containers on one machine have the same name. Raises `UsageError` if the rendezvous
    fails.
    """
    try:
        store, rank, size = next(rendezvous("env://"))
        store.set(f"host{rank}", host or _this_machine())
        hosts = [store.get(f"host{number}").decode() for number in range(size)]
    except (ValueError, dist.DistError) as error:
        raise UsageError(
            f"the ranks do not find each other ({_first_line(error)}); check MASTER_ADDR, "
            "MASTER_PORT, RANK and WORLD_SIZE"
        ) from error
    numbers = {name: number for number, name in enumerate(dict.fromkeys(hosts))}
    nodes = tuple(numbers[name] for name in hosts)
    device = device_of(nodes[:rank].count(nodes[rank]), nodes.count(nodes[rank]))
    return Ranks(store, rank, nodes, device)


def _this_machine() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _digest(model: nn.Module) -> str:
    """Hash the names, shapes, types and values of all parameters and buffers."""
    digest = hashlib.blake2b()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
