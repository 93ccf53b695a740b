"""The session: its options, a test for each cell of the matrix, and the bench that they share."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest

from energybench.app.plugin.mark import MATRIX_MARK, read_mark
from energybench.app.plugin.options import Options, add_options, given_options, read_options
from energybench.config import Cell
from energybench.errors import EnergybenchError, UsageError
from energybench.runs.matrix import cells, with_tolerances

if TYPE_CHECKING:
    from contextlib import ExitStack

    from energybench.records.journal import Keeper
    from energybench.records.record import RunRecord
    from energybench.runs.bench import Bench


@dataclass
class Run:
    """What one pytest session measures."""

    options: Options
    terminal: TextIO | None = None
    """A copy of standard output that pytest does not capture; None if that is no terminal."""
    bench: "Bench | None" = None
    keeper: "Keeper | None" = None
    records: "list[RunRecord]" = field(default_factory=list)
    timed: set[int] = field(default_factory=set)
    """Indices of the records that have a timing of pytest-benchmark's."""
    resumed: int = 0
    """Number of records taken from an earlier run's journal."""
    resources: "ExitStack | None" = None

    @property
    def measured(self) -> "list[RunRecord]":
        """All records of this session: first the references that ran on demand."""
        return [*(self.bench.on_demand if self.bench else ()), *self.records]


RUN = pytest.StashKey[Run]()
NOT_RUNNING = ("collectonly", "setuponly", "setupplan", "benchmark_skip")
"""Options of pytest and pytest-benchmark under which no test runs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare every option."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options, so that a wrong one ends the session at once."""
    config.addinivalue_line(
        "markers",
        f"{MATRIX_MARK}(models, methods, tolerances=None): run the test once per model x "
        "method x seed, given as its argument `cell`; with tolerances once per tolerance of each "
        "cell, given as its argument `tolerance` (None for a baseline, which runs once)",
    )
    try:
        config.stash[RUN] = Run(read_options(given_options(config)), _terminal())
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def _terminal() -> TextIO | None:
    """A copy of standard output, if that is a terminal: pytest will capture the original.

    None for anything else, for instance an object of another plugin that only claims to be one.
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
    options = metafunc.config.stash[RUN].options
    try:
        asked = read_mark(mark)
        matrix = cells(
            options.models or asked.models, options.methods or asked.methods, options.seeds
        )
    except UsageError as error:
        line = f"{metafunc.definition.nodeid}: {error}"
        raise pytest.Collector.CollectError(line) from error
    if asked.tolerances is None:
        metafunc.parametrize("cell", matrix, ids=str)
        return
    pairs = with_tolerances(matrix, asked.tolerances)
    names = [str(cell) + ("" if pp is None else f"-{pp:g}pp") for cell, pp in pairs]
    metafunc.parametrize(("cell", "tolerance"), pairs, ids=names)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Open what the cells share, before any of them; bad input ends the session here."""
    config = session.config
    found = [cell for item in session.items if (cell := _cell(item)) is not None]
    models = dict.fromkeys(cell.model for cell in found)
    if not models or session.testsfailed or any(config.getoption(name, 0) for name in NOT_RUNNING):
        return
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError(
            "energybench times with pytest-benchmark; leave out -p no:benchmark "
            "(--benchmark-disable runs the cells without timing statistics)"
        )
    from contextlib import ExitStack

    from energybench.app.plugin.torchrun import interruptible, journal, open_run
    from energybench.progress import Progress
    from energybench.records.journal import Keeper

    run = config.stash[RUN]
    reporter = config.pluginmanager.getplugin("terminalreporter")
    run.resources = ExitStack()
    try:
        say: Callable[[str], None] = reporter.write_line if reporter else lambda line: None
        progress = Progress(run.terminal, reporter.ensure_newline if reporter else lambda: None)
        run.keeper = Keeper(journal(Path(run.options.journal)), run.options.resume)
        run.bench = open_run(run.options, run.terminal, progress)
        run.resources.callback(run.bench.close)
        run.bench.check_weights(models)
        run.resources.enter_context(run.bench.exclusive_use(run.options.wait, say))
        run.bench.measure_idle()
        run.resources.enter_context(interruptible())
        run.bench.prepare(models, say)
    except EnergybenchError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a cell whose method stands for an arithmetic that this device does not have."""
    run, cell = item.config.stash[RUN], _cell(item)
    if run.bench is None or cell is None:
        return
    from energybench.compression.compose import build

    try:
        run.bench.require_arithmetic(build(cell.method))
    except UsageError as error:
        pytest.skip(str(error))


def _cell(item: pytest.Item) -> Cell | None:
    """The cell that a test of the matrix runs; None for other tests."""
    if item.get_closest_marker(MATRIX_MARK) is None or not hasattr(item, "callspec"):
        return None
    cell: Cell = item.callspec.params["cell"]
    return cell


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the meters, and release the machine for the next measurement."""
    run = config.stash.get(RUN, None)
    if run is not None and run.resources is not None:
        run.resources.close()
    if run is not None and run.terminal is not None:
        run.terminal.close()


@pytest.fixture(scope="session")
def bench(pytestconfig: pytest.Config) -> "Bench":
    """What the cells of this session share: device, open meters, data."""
    found = pytestconfig.stash[RUN].bench
    if found is None:
        message = f"this needs @pytest.mark.{MATRIX_MARK}(models=..., methods=...)"
        pytest.fail(message, pytrace=False)
    return found
