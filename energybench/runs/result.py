"""The result of a cell, as a run gives it to the test that asked for it."""

from dataclasses import dataclass

from energybench.records.journal import Entry
from energybench.records.record import RunRecord
from energybench.runs.jobs import Outcome


@dataclass(frozen=True)
class Result:
    """A cell of this run."""

    key: str
    outcome: Outcome
    entry: Entry | None = None
    """The entry of the journal, if the cell did not run again."""
    waits: bool = False
    """Whether the cell is finished and its baseline is not: ask again after the baseline."""

    @property
    def record(self) -> RunRecord:
        """The cell's record."""
        return self.outcome.record

    @property
    def lacks_reference(self) -> bool:
        """Whether the cell was tested, and compared with no baseline."""
        return self.record.test is not None and self.record.reference_value is None
