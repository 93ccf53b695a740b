"""The pytest plugin: options, the matrix of cells, and what they share while they run."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from energybench.app.plugin.options import OPTIONS, Option, Options, read_options, with_flag
from energybench.config import Cell
from energybench.errors import EnergybenchError, UsageError
from energybench.runs.matrix import cells, with_tolerances

if TYPE_CHECKING:
    from contextlib import ExitStack

    from energybench.records.journal import Keeper
    from energybench.records.record import RunRecord
    from energybench.runs.bench import Bench

MATRIX_MARK = "energy_matrix"


@dataclass
class Run:
    """What one pytest session measures."""

    options: Options
    terminal: TextIO | None = None
    """The terminal itself, where there is one: not captured while tests run."""
    bench: "Bench | None" = None
    keeper: "Keeper | None" = None
    records: "list[RunRecord]" = field(default_factory=list)
    timed: set[int] = field(default_factory=set)
    """Indices of the records that pytest-benchmark has a timing for."""
    resumed: int = 0
    """How many of the records an earlier run has measured."""
    resources: "ExitStack | None" = None

    @property
    def measured(self) -> "list[RunRecord]":
        """All records of this session, references on demand first."""
        return [*(self.bench.on_demand if self.bench else ()), *self.records]


RUN = pytest.StashKey[Run]()
NOT_RUNNING = ("collectonly", "setuponly", "setupplan", "benchmark_skip")
"""pytest's options under which no cell runs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Every option on the command line and in ini files."""
    group = parser.getgroup("energybench", "energy of fine-tuning compressed networks")
    for option in OPTIONS:
        default = f" (default: {option.default})" if option.default else ""
        text = option.help + default
        escaped = text.replace("%", "%%")  # argparse formats help texts
        if option.default == "false":
            group.addoption(
                option.flag, dest=option.key, action="store_const", const="true", help=escaped
            )
        else:
            group.addoption(option.flag, dest=option.key, metavar="X", help=escaped)
        parser.addini(option.key, text, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options, so that a wrong one ends the session at once."""
    config.addinivalue_line(
        "markers",
        f"{MATRIX_MARK}(models, methods, tolerances=None): run the test once per model x "
        "method x seed, as its argument `cell`; with tolerances once per tolerance of each, as its "
        "argument `tolerance`, and for a baseline once with None",
    )

    def text_of(option: Option) -> str | None:
        given: str | None = config.getoption(option.key)
        return (config.getini(option.key) or None) if given is None else given

    try:
        config.stash[RUN] = Run(read_options(text_of), _terminal())
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def _terminal() -> TextIO | None:
    """Standard output, if it is a terminal; pytest captures nothing while it configures."""
    if not sys.stdout.isatty():
        return None
    return open(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every cell of the matrix."""
    mark = metafunc.definition.get_closest_marker(MATRIX_MARK)
    if mark is None:
        return
    options = metafunc.config.stash[RUN].options
    try:
        models, methods, tolerances = _matrix_arguments(*mark.args, **mark.kwargs)
        matrix = cells(options.models or models, options.methods or methods, options.seeds)
    except (TypeError, UsageError) as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from error
    if tolerances is None:
        metafunc.parametrize("cell", matrix, ids=str)
        return
    pairs = with_tolerances(matrix, tolerances)
    names = [str(cell) + ("" if pp is None else f"-{pp:g}pp") for cell, pp in pairs]
    metafunc.parametrize(("cell", "tolerance"), pairs, ids=names)


def _matrix_arguments(
    models: Sequence[str], methods: Sequence[str], tolerances: Sequence[float] | None = None
) -> tuple[Sequence[str], Sequence[str], Sequence[float] | None]:
    return models, methods, tolerances


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
        raise pytest.UsageError(with_flag(error)) from error


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
    """Close the meters and let the next measurement on."""
    run = config.stash.get(RUN, None)
    if run is not None and run.resources is not None:
        run.resources.close()
    if run is not None and run.terminal is not None:
        run.terminal.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Refuse to measure several cells at once."""
    if any(re.search(r"\[.+-.+-seed\d+(-[^]]+)?\]$", name) for name in ids):
        raise pytest.UsageError(
            "energy is measured one cell at a time; run the benchmarks without -n"
        )


@pytest.fixture(scope="session")
def bench(pytestconfig: pytest.Config) -> "Bench":
    """What the cells of this session share: device, open meters, data."""
    found = pytestconfig.stash[RUN].bench
    if found is None:
        message = f"this needs @pytest.mark.{MATRIX_MARK}(models=..., methods=...)"
        pytest.fail(message, pytrace=False)
    return found
