"""The pytest session: its options, a test for each cell of the matrix, and its state."""

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from energybench.app.plugin.mark import MATRIX_MARK, read_mark
from energybench.app.plugin.options import (
    Options,
    add_bare_flag,
    add_options,
    given_options,
    marked_options,
    read_options,
)
from energybench.config import Cell
from energybench.errors import UsageError
from energybench.runs.matrix import cells, check_names, with_floor, with_tolerances

if TYPE_CHECKING:
    from contextlib import ExitStack

    from energybench.records.record import RunRecord
    from energybench.runs.ahead import Ahead
    from energybench.runs.clusters.attached import Attached
    from energybench.runs.clusters.plan import ArrayTask, Plan, RunFolder
    from energybench.runs.run import Run as MatrixRun

    AnyRun = MatrixRun | Attached


@dataclass(frozen=True)
class OnCluster:
    """The run on a cluster that a session belongs to."""

    folder: "RunFolder"
    plan: "Plan"
    task: "ArrayTask | None" = None
    """The block that this session runs; None where it only shows the run."""


@dataclass
class PytestRun:
    """The state of one pytest session."""

    options: Options
    marked: dict[str, object] | None = None
    """The options that the session's marks set; None before the first mark."""
    terminal: TextIO | None = None
    """A copy of standard output that pytest does not capture; None if it is not a terminal."""
    run: "AnyRun | None" = None
    """The run of the cells; None before the first cell."""
    cluster: OnCluster | None = None
    """The run on a cluster that the session shows or runs a block of; None for most."""
    ahead: "Ahead | None" = None
    """The cells that are still to come; None before the first, and where another one measures."""
    records: "list[RunRecord]" = field(default_factory=list)
    timed: set[int] = field(default_factory=set)
    """Indices of the records for which pytest-benchmark has a timing."""
    early: "dict[str, tuple[RunRecord, Any]]" = field(default_factory=dict)
    """Id of a test that waits for its baseline -> its record and pytest-benchmark's timing."""
    resumed: int = 0
    """Number of records taken from an earlier run's journal."""
    resources: "ExitStack | None" = None
    resulted: set[str] = field(default_factory=set)
    """Ids of the tests whose cell has a result."""

    @property
    def attached(self) -> OnCluster | None:
        """The run on a cluster that the session only shows; None where it measures itself."""
        return None if self.cluster is None or self.cluster.task is not None else self.cluster

    @property
    def block(self) -> "ArrayTask | None":
        """The block of a cluster's run that the session runs; None for most."""
        return None if self.cluster is None else self.cluster.task

    @property
    def measured(self) -> "list[RunRecord]":
        """All records of this session, those that no test has reported first."""
        return [*(self.run.unclaimed if self.run else ()), *self.records]

    @property
    def untimed(self) -> "list[RunRecord]":
        """Those of `measured` that no benchmark has: early failures, baselines on demand."""
        early = [record for record, _ in self.early.values()]
        timed = [*early, *(self.records[index] for index in self.timed)]
        return [one for one in self.measured if not any(one is other for other in timed)]


RUN = pytest.StashKey[PytestRun]()
NOT_RUNNING = ("collectonly", "setuponly", "setupplan", "benchmark_skip")
"""Options of pytest and pytest-benchmark under which no test runs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare every option but `--energy`."""
    add_options(parser)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Generator[None]:
    """Declare `--energy` once the suite has declared its own options."""
    result = yield
    add_bare_flag(parser)
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Read the options, so that a wrong one ends the session at once."""
    config.addinivalue_line(
        "markers",
        f"{MATRIX_MARK}(models, methods, tolerances=None, gpu_methods=(), options={{}}): run the "
        "test once per model x method x seed, given as its argument `cell`; with tolerances once "
        "per tolerance of each cell, given as its argument `tolerance` (None for a baseline, which "
        "runs once); on a machine with an NVIDIA GPU also for the gpu_methods; options are "
        "defaults of the session",
    )
    try:
        options = read_options(given_options(config))
        config.stash[RUN] = PytestRun(options, terminal=_terminal())
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def _terminal() -> TextIO | None:
    """Return a copy of a standard output that is a terminal: pytest will capture the original.

    Returns None otherwise, for instance for an object of another plugin that imitates a terminal.
    """
    try:
        if not sys.stdout.isatty():
            return None
        return open(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding)
    except (AttributeError, LookupError, OSError, TypeError, ValueError):
        return None


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every cell of the matrix."""
    mark = metafunc.definition.get_closest_marker(MATRIX_MARK)
    if mark is None:
        return
    try:
        asked = read_mark(mark)
        options = _with_marked(metafunc.config, asked.options)
        models = options.models or asked.models
        methods = with_floor(options.methods or asked.methods_on(options.run.device), options.floor)
        check_names(models, methods)
        matrix = cells(models, methods, options.seeds)
    except UsageError as error:
        line = f"{metafunc.definition.nodeid}: {error}"
        raise pytest.Collector.CollectError(line) from error
    if asked.tolerances is None:
        metafunc.parametrize("cell", matrix, ids=str)
        return
    pairs = with_tolerances(matrix, asked.tolerances)
    names = [str(cell) + ("" if pp is None else f"-{pp:g}pp") for cell, pp in pairs]
    metafunc.parametrize(("cell", "tolerance"), pairs, ids=names)


def _with_marked(config: pytest.Config, marked: Mapping[str, object]) -> Options:
    """Return the session's options, with those of a mark where the user gives none.

    Raises `UsageError` for wrong ones, and for others than an earlier mark of the session set: all
    cells of a session share one run.
    """
    state = config.stash[RUN]
    if state.marked is None:
        given = {**marked_options(marked, MATRIX_MARK), **given_options(config)}
        state.options, state.marked = read_options(given), dict(marked)
    elif state.marked != dict(marked):
        raise UsageError(
            f"this mark sets the options {dict(marked)}, another benchmark of this session "
            f"{state.marked}; run them in sessions of their own"
        )
    return state.options


def cell_of(item: pytest.Item) -> Cell | None:
    """Return the cell that a test of the matrix runs; None for other tests."""
    if item.get_closest_marker(MATRIX_MARK) is None or not hasattr(item, "callspec"):
        return None
    cell: Cell = item.callspec.params["cell"]
    return cell


def tolerance_of(item: pytest.Item) -> float | None:
    """Return the own tolerance of a test's cell, see `mark.Matrix`; None for the run's."""
    params: Mapping[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return params.get("tolerance")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the meters, and release the machine for the next measurement."""
    run = config.stash.get(RUN, None)
    if run is not None and run.resources is not None:
        run.resources.close()
    if run is not None and run.terminal is not None:
        with suppress(OSError):  # it has gone
            run.terminal.close()
