"""Several ranks in PyTorch's process group, and how they find each other."""

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

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=1)
"""For ranks that live: a dead one is known at once, and one may wait for hours for a free GPU."""
PATIENCE = timedelta(seconds=3)
"""How long a rank that has failed waits for the others to fail at the same thing."""
REPORTING = timedelta(minutes=10)
"""How long a rank stays for the first one to report: launchers end all when one has ended."""
LAST_WORDS = timedelta(seconds=8)
"""That of a broken group, whose first rank may hang in what it waits for."""


class Ranks(Group):
    """Several processes in PyTorch's process group.

    They talk through gloo. Gradients and batch norms of GPUs go through NCCL, with PyTorch's own
    limit of some minutes: there a dead rank is not known at once.
    """

    def __init__(self, store: Store, rank: int, nodes: tuple[int, ...], device: torch.device):
        self.rank, self.size, self.nodes = rank, len(nodes), nodes
        self._store = PrefixStore("energybench", store)
        self._device = device
        self._settled = 0
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=self.size, timeout=LONGEST_WAIT
        )
        self._devices: dist.ProcessGroup | None = None

    def wait(self) -> None:
        """Wait until every rank is here."""
        dist.all_reduce(torch.zeros(1))

    def gather(self, value: T) -> list[T]:
        """Every rank's value, by rank, for every rank."""
        values: list[T] = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def of_first(self, value: T) -> T:
        """Rank 0's value, for every rank; its tensors are on each rank's own device."""
        packed: list[bytes] = [b""]
        if self.rank == 0:
            buffer = io.BytesIO()
            torch.save(value, buffer)
            packed = [buffer.getvalue()]
        dist.broadcast_object_list(packed, device=torch.device("cpu"))
        if self.rank == 0:
            return value
        found: T = torch.load(  # from a process of ours
            io.BytesIO(packed[0]), map_location=self._device, weights_only=False
        )
        return found

    @contextmanager
    def network(self, model: nn.Module) -> Iterator[nn.Module]:
        """DistributedDataParallel around `model`, batch norms over the images of all ranks.

        Their statistics are the same on every rank, and need not be sent.
        """
        own = None
        if self._device.type == "cuda":
            own = [self._device]
            self._devices = self._devices or dist.new_group(backend="nccl")
        with over_all_ranks(model, self._device, self._devices):
            wrapped = DistributedDataParallel(model, device_ids=own, process_group=self._devices)
            wrapped.broadcast_buffers = False
            yield wrapped

    def agreed(self, made: T, model: nn.Module) -> T:
        """`made`, which `model` is part of; rank 0's unless all ranks have the same weights."""
        return made if len(set(self.gather(_digest(model)))) == 1 else self.of_first(made)

    def together(self, work: Callable[[], T]) -> T:
        """`work()` on every rank; an error that one of them can explain is raised on all."""
        error: EnergybenchError | None = None
        try:
            done = work()
        except EnergybenchError as raised:
            error = raised
        errors = self.gather(error)
        first = next((rank for rank, one in enumerate(errors) if one is not None), None)
        if first is None:
            return done
        found = errors[first]
        assert found is not None
        if len({str(one) for one in errors}) == 1:
            raise found
        raise type(found)(f"rank {first}: {found}")

    def settle(self, error: str | None) -> str | None:
        """At the end of a cell: the error of whichever rank failed first; None if none did.

        Errors that meet all ranks alike leave the group as it was. Where one rank fails alone the
        others may wait for it in vain: then the group is `broken`.
        """
        self._settled += 1
        cell = PrefixStore(f"cell{self._settled}", self._store)
        try:
            missing = self._arrive(cell, error)
            self.broken = cell.check(["broken"])
            count = cell.add("failures", 0)
            failures = [cell.get(f"failure{i + 1}").decode().partition(" ") for i in range(count)]
        except dist.DistError as lost:  # rank 0 had the store, and is gone
            self.broken = True
            return error or _first_line(lost)
        if not failures:
            return missing
        rank, _, text = failures[0]
        alike = count == self.size and {one for _, _, one in failures} == {text}
        return text if alike else f"rank {rank}: {text}"

    def _arrive(self, cell: Store, error: str | None) -> str | None:
        """Tell `cell` how it ended here, and wait for the others; says if one does not come."""
        if error is not None:
            cell.set(f"failure{cell.add('failures', 1)}", f"{self.rank} {error}")
        cell.set(f"ended{self.rank}", "")
        try:
            cell.wait([f"ended{rank}" for rank in range(self.size)], PATIENCE)
        except dist.DistStoreError:
            cell.set("broken", "")
            gone = next(rank for rank in range(self.size) if not cell.check([f"ended{rank}"]))
            return f"rank {gone} does not answer"
        return None

    def leave(self) -> None:
        """Part with the others, once the first rank has reported.

        In a broken group it may wait for this one: it must learn that first.
        """
        if self.broken:
            if self._devices is not None:
                self._devices.abort()  # destroying takes all ranks
            dist.destroy_process_group()
        with suppress(dist.DistError):
            if self.rank == 0:
                self._store.set("reported", "")
            else:
                self._store.wait(["reported"], LAST_WORDS if self.broken else REPORTING)
        if not self.broken:
            dist.destroy_process_group()


def join(device_of: Callable[[int, int], torch.device], host: str | None = None) -> Ranks:
    """Join the other ranks, by the environment that torchrun sets (`RANK`, `MASTER_ADDR`, ...).

    `device_of(local_rank, local_size)` gives this rank's device. `host` tells machines apart; by
    default containers on one machine have the same. Raises `UsageError` if the others do not come.
    """
    try:
        store, rank, size = next(rendezvous("env://"))
        store.set(f"host{rank}", host or _this_machine())
        hosts = [store.get(f"host{number}").decode() for number in range(size)]
    except (ValueError, dist.DistError) as error:
        raise UsageError(f"the ranks do not find each other: {_first_line(error)}") from error
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
    """Equal for networks of equal structure and weights."""
    digest = hashlib.blake2b()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
