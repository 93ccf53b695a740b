"""What happens to a cell or a block besides its end: lines of a journal beside the cells'.

Only blocks of a cluster write them, so that the death of a node leaves a trace.
"""

from dataclasses import dataclass

from energybench.config import Cell

STARTED, SKIPPED, REFUSED, ENDED = "started", "skipped", "refused", "ended"
KINDS = (STARTED, SKIPPED, REFUSED, ENDED)
"""A cell starts; a cell cannot run on this kind of machine; a block cannot run on this node; every
cell of a block has its result."""


@dataclass(frozen=True)
class Origin:
    """The place of a cluster that a line comes from."""

    node: str
    job: str | None = None
    """The job as its engine names it, such as `12_3`; None outside of one."""
    restart: int = 0
    """How often the engine had started the job before."""

    def __str__(self) -> str:
        again = f", restart {self.restart}" if self.restart else ""
        return f"{self.node} (job {self.job}{again})" if self.job else self.node


@dataclass(frozen=True)
class Event:
    """One line of a journal that is not a cell's end."""

    what: str
    """One of `KINDS`."""
    written_at: str
    """Date and time in UTC, ISO 8601."""
    origin: Origin
    cell: Cell | None = None
    """None for an event of the whole block."""
    reason: str | None = None
    """Why a cell or a block cannot run, in one line."""
