"""The processes, or ranks, that run one cell together, each on its own device; one alone, too."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from torch import nn

T = TypeVar("T")


class Group:
    """One process, alone: what it sends to all is what it hears from all."""

    rank = 0
    size = 1
    nodes: tuple[int, ...] = (0,)
    """Rank -> the machine that it runs on, numbered from 0."""
    broken = False
    """Whether some rank is gone, or at something else: nothing can be done together any more."""

    @property
    def share(self) -> tuple[int, int]:
        """Which part of each batch is this rank's: the how-manieth, of how many."""
        return self.rank, self.size

    @property
    def node(self) -> int:
        """The machine that this rank runs on."""
        return self.nodes[self.rank]

    @property
    def local_rank(self) -> int:
        """Of the ranks on this machine, the how-manieth this one is."""
        return self.nodes[: self.rank].count(self.node)

    @property
    def local_size(self) -> int:
        """Ranks on this machine."""
        return self.nodes.count(self.node)

    def wait(self) -> None:
        """Wait until every rank is here."""

    def gather(self, value: T) -> list[T]:
        """Every rank's value, by rank, for every rank."""
        return [value]

    def of_first(self, value: T) -> T:
        """Rank 0's value, for every rank."""
        return value

    def network(self, model: nn.Module) -> AbstractContextManager[nn.Module | None]:
        """What takes the model's place in training steps, so that gradients are all ranks' means.

        None stands for the model itself.
        """
        return nullcontext()

    def agreed(self, made: T, model: nn.Module) -> T:
        """`made`, which `model` is part of; rank 0's unless all ranks have the same weights."""
        return made

    def together(self, work: Callable[[], T]) -> T:
        """`work()` on every rank; an error that one of them can explain is raised on all."""
        return work()

    def settle(self, error: str | None) -> str | None:
        """At the end of a cell: the error of whichever rank failed first; None if none did."""
        return error

    def leave(self) -> None:
        """Part with the others."""


ALONE = Group()
