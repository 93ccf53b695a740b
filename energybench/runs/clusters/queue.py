"""What Slurm says of a task: how it waits, runs, and ended."""

from dataclasses import dataclass

from energybench.runs.clusters.plan import RunFolder

UNSHARED = 72
"""Exit status of a job whose node does not see the run's folder."""
_NO_LOG = "53"
"""Slurm's number, in place of a signal's, for a job whose log could not be opened."""
WITH_A_NODE = ("RUNNING", "COMPLETING", "CONFIGURING")
"""States of a job that has a node."""


@dataclass(frozen=True)
class Queued:
    """A task that Slurm has in its queue."""

    job: str
    """Such as `12_3`."""
    state: str
    """Slurm's word for its state, such as `RUNNING`."""
    node: str
    """Where it runs; "" while it waits."""
    reason: str
    """Why it waits; "None" where it runs."""

    @property
    def runs(self) -> bool:
        """Whether it has a node."""
        return self.state in WITH_A_NODE

    @property
    def held(self) -> bool:
        """Whether Slurm does not start it by itself, such as after a launch that failed."""
        return not self.runs and "held" in self.reason.lower()


@dataclass(frozen=True)
class Ended:
    """How a job ended that Slurm no longer has in its queue."""

    job: str
    """Such as `12_3`."""
    node: str
    status: str
    """Its exit status."""
    number: str
    """Of the signal that ended it; "0" without one."""

    def trouble(self, folder: RunFolder) -> str | None:
        """What to say of it; None where it ended well."""
        if self.status == str(UNSHARED) or self.number == _NO_LOG:
            return (
                f"{self.node} cannot see {folder}, or may not write there; use a folder that all "
                "nodes share"
            )
        if self.number != "0":
            return f"its job was ended on {self.node} by signal {self.number}"
        if self.status != "0":
            return f"its job ended on {self.node} with exit status {self.status}"
        return None
