"""The cells that a command line of pytest collects, without running them."""

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from energybench.config import Cell, RunConfig
from energybench.errors import UsageError

if TYPE_CHECKING:
    import pytest

QUIET = "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning"
"""pytest would have the assertions of this command's own modules rewritten, which are loaded."""
_OF_THE_SESSION = {
    "energy_journal": "each block has a journal of its own in the run's folder",
    "energy_compare": "compare where you attach by --energy-run",
    "energy_run": "it attaches to a run that is there already",
    "energy_block": "`energybench run-block` gives it",
    "benchmark_compare": "compare where you attach by --energy-run",
    "numprocesses": "cells are measured one at a time on each node",
}
"""Option of pytest -> why a submission does not take it."""


@dataclass
class Collected:
    """What a command line would run; a plug-in of pytest that fills itself."""

    cells: list[Cell] = field(default_factory=list)
    """In their order; one is there once per test."""
    others: int = 0
    """Tests that are no cells."""
    config: RunConfig = field(default_factory=RunConfig)
    refused: str | None = None
    """Why the command cannot be submitted."""

    def pytest_collection_finish(self, session: "pytest.Session") -> None:
        """Take over the cells of the session."""
        from energybench.app.plugin.state import RUN, cell_of

        found = [cell_of(item) for item in session.items]
        self.cells = [cell for cell in found if cell is not None]
        self.others = len(found) - len(self.cells)
        self.config = session.config.stash[RUN].options.run
        for name, why in _OF_THE_SESSION.items():
            if session.config.getoption(name, None):
                flag = "-n" if name == "numprocesses" else f"--{name.replace('_', '-')}"
                self.refused = f"{flag}: leave it out of the submission; {why}"


def collect(arguments: Sequence[str]) -> Collected:
    """Return what `pytest ARGUMENTS` would run.

    Raises `UsageError` with pytest's own reason where it collects no cell.
    """
    import pytest

    found, said = Collected(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        status = pytest.main([*arguments, "--collect-only", "-q", QUIET], plugins=[found])
    if found.refused is not None:
        raise UsageError(found.refused)
    if status != pytest.ExitCode.OK or not found.cells:
        raise UsageError(f"pytest finds no cell to submit: {_reason(said.getvalue())}")
    if found.config.measure.wall_meter is not None:
        raise UsageError("--energy-wall-meter is on one machine, and jobs run on any; leave it out")
    return found


def _reason(said: str) -> str:
    """The line of pytest's output that says what is wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for start in ("ERROR: ", "E ", "ERROR "):
        for line in lines:
            if line.startswith(start):
                return line.removeprefix(start).strip()
    return lines[-1] if lines else "it says nothing"
