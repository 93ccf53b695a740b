"""The ranks that run one cell together, each on its own device; `Group` itself is one rank."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from torch import nn

T = TypeVar("T")


class Group:
    """One process by itself: a world of size 1, whose collectives return what they are given."""

    rank = 0
    world_size = 1
    nodes: tuple[int, ...] = (0,)
    """Rank -> the machine that the rank runs on, numbered from 0: (0, 0, 1, 1) on two machines."""
    broken = False
    """Whether a rank has died or left the protocol, so that no collective can complete."""

    @property
    def share(self) -> tuple[int, int]:
        """(rank, world size): selects this rank's part of every batch and split."""
        return self.rank, self.world_size

    @property
    def node(self) -> int:
        """The machine that this rank runs on."""
        return self.nodes[self.rank]

    @property
    def local_rank(self) -> int:
        """This rank's number among the ranks of its machine, from 0."""
        return self.nodes[: self.rank].count(self.node)

    @property
    def local_size(self) -> int:
        """Number of ranks on this machine."""
        return self.nodes.count(self.node)

    def barrier(self) -> None:
        """Wait until every rank has called this."""

    def all_gather(self, value: T) -> list[T]:
        """Return every rank's value, in the order of ranks, on every rank."""
        return [value]

    def broadcast(self, value: T) -> T:
        """Return rank 0's value on every rank."""
        return value

    def data_parallel(self, model: nn.Module) -> AbstractContextManager[nn.Module | None]:
        """Average gradients over the ranks: the context gives the model for training steps.

        The context gives None where `model` itself is to be used.
        """
        return nullcontext()

    def sharded(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """Divide the weights of `model` among the ranks: the context gives the model to train.

        At the end of the block `model` has its trained weights. One rank trains `model` itself.
        """
        return nullcontext(model)

    def broadcast_unless_equal(self, made: T, model: nn.Module) -> T:
        """Return `made` where all ranks' `model`s have equal weights, else rank 0's `made`.

        `made` contains `model`, for instance as (model, compression, report).
        """
        return made

    def run_on_all(self, work: Callable[[], T]) -> T:
        """Run `work` on every rank; an `EnergybenchError` of one rank is raised on all of them."""
        return work()

    def first_failure(self, error: str | None) -> str | None:
        """End a cell: return the error of the rank that failed first, None if no rank failed."""
        return error

    def close(self) -> None:
        """Leave the group."""


ALONE = Group()
