"""The cells that a command line of pytest collects, without running them."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from energybench.app.session_options import Options
from energybench.config import Cell
from energybench.errors import UsageError

if TYPE_CHECKING:
    import pytest

QUIET = "-Wignore:Module already imported:pytest.PytestAssertRewriteWarning"
"""pytest would have the assertions of this command's own modules rewritten, which are loaded."""


@dataclass
class Collected:
    """What a command line would run; a plug-in of pytest that fills itself."""

    cells: list[Cell] = field(default_factory=list)
    """In their order; one is there once per test."""
    tolerances: list[float | None] = field(default_factory=list)
    """Of each of `cells`, its own tolerance; None for that of the run."""
    others: int = 0
    """Tests that are no cells."""
    options: Options = field(default_factory=Options)
    without: Mapping[str, str] = field(default_factory=dict)
    """Option of pytest -> why the command does not take it."""
    refused: str | None = None
    """Why the command cannot be taken."""

    def pytest_collection_finish(self, session: "pytest.Session") -> None:
        """Take over the cells of the session."""
        from energybench.app.plugin.state import RUN, cell_of, tolerance_of

        for item in session.items:
            cell = cell_of(item)
            if cell is not None:
                self.cells.append(cell)
                self.tolerances.append(tolerance_of(item))
        self.others = len(session.items) - len(self.cells)
        self.options = session.config.stash[RUN].options
        for name, why in self.without.items():
            if session.config.getoption(name, None):
                flag = "-n" if name == "numprocesses" else f"--{name.replace('_', '-')}"
                self.refused = f"{flag}: leave it out; {why}"


def collect(
    arguments: Sequence[str], purpose: str, without: Mapping[str, str] | None = None
) -> Collected:
    """Return what `pytest ARGUMENTS` would run.

    Raises `UsageError` for an option in `without`, and with pytest's own reason where it collects
    no cell; `purpose` is a verb, such as "submit".
    """
    import pytest

    found, said = Collected(without=without or {}), io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        status = pytest.main([*arguments, "--collect-only", "-q", QUIET], plugins=[found])
    if found.refused is not None:
        raise UsageError(found.refused)
    if status != pytest.ExitCode.OK or not found.cells:
        raise UsageError(f"pytest finds no cell to {purpose}: {_reason(said.getvalue())}")
    return found


def _reason(said: str) -> str:
    """The line of pytest's output that says what is wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for start in ("ERROR: ", "E ", "ERROR "):
        for line in lines:
            if line.startswith(start):
                return line.removeprefix(start).strip()
    return lines[-1] if lines else "it says nothing"
