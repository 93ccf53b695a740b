"""Opens the run before the first cell; the fixture `energy_session`."""

import os
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from energybench.app.plugin.mark import MATRIX_MARK
from energybench.app.plugin.on_cluster import attached, check_data, live_progress, origin
from energybench.app.plugin.options import with_flag
from energybench.app.plugin.state import NOT_RUNNING, RUN, PytestRun, cell_of
from energybench.app.plugin.torchrun import (
    executor_name,
    finish_writing,
    interruptible,
    journal,
    leave_to_rank_0,
    rank,
)
from energybench.config import Cell
from energybench.errors import EnergybenchError

if TYPE_CHECKING:
    from energybench.runs.session import Session


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Open the run before any cell; wrong input ends the session here."""
    config = session.config
    found = [cell for item in session.items if (cell := cell_of(item)) is not None]
    if not found or session.testsfailed or any(config.getoption(name, 0) for name in NOT_RUNNING):
        return
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError(
            "energybench times with pytest-benchmark; leave out -p no:benchmark "
            "(--benchmark-disable runs the cells without timing statistics)"
        )
    run = config.stash[RUN]
    run.resources = ExitStack()
    try:
        if run.attached is not None:
            run.run = attached(config, run.attached, sayer(config))
            return
        leave_to_rank_0(config)
        _open(config, run, found, run.resources)
    except EnergybenchError as error:
        raise pytest.UsageError(with_flag(error)) from error


def _open(
    config: pytest.Config, state: PytestRun, cells: Sequence[Cell], resources: ExitStack
) -> None:
    kept = journal(Path(state.options.journal))
    kept.check()
    from energybench.progress import Progress
    from energybench.records.keeper import Keeper
    from energybench.registry import EXECUTORS
    from energybench.runs.ahead import Ahead
    from energybench.runs.executors.base import Executor, Locking, Setup
    from energybench.runs.forecasts.matrix import read_forecast
    from energybench.runs.run import Run

    options, terminal = state.options, state.terminal
    forecasts = {} if options.plan is None else read_forecast(options.plan).by_key()
    reporter = config.pluginmanager.getplugin("terminalreporter")
    say = sayer(config)
    keeper = Keeper(kept, options.resume, origin() if state.block else None)
    before = reporter.ensure_newline if reporter else lambda: None
    live = None if rank() or state.cluster is None else live_progress(state.cluster, terminal)
    ahead = state.ahead = Ahead(cells)
    progress = Progress(terminal, before, ahead.text) if live is None else live
    models = tuple(dict.fromkeys(cell.model for cell in cells))
    setup = Setup(
        config=options.run,
        models=models,
        world_size=options.world_size,
        progress=progress,
        terminal=None if terminal is None else os.ttyname(terminal.fileno()),
        say=say,
    )
    executor: Executor = EXECUTORS.get(executor_name(options))(setup)
    resources.callback(executor.close)
    if isinstance(executor, Locking):
        resources.enter_context(executor.exclusive_use(options.wait, say))
    resources.enter_context(interruptible())
    checkpoints = keeper.path.parent / "checkpoints" if options.checkpoint else None
    writes, of_kind = not rank(), state.block is not None
    resume = options.resume
    run = Run(options.run, executor, keeper, resume, checkpoints, writes, say, of_kind, forecasts)
    prepared = run.prepare(models)
    if state.cluster is not None:
        check_data(state.cluster, prepared)
    expected = {cell: run.forecast(cell) for cell in cells}
    ahead.forecasts = {cell: one for cell, one in expected.items() if one is not None}
    state.run = run


def sayer(config: pytest.Config) -> Callable[[str], None]:
    """Return a function that writes a line to the terminal, also from within a test."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        if reporter is not None:
            with capture.global_and_fixture_disabled() if capture else nullcontext():
                reporter.ensure_newline()
                reporter.write_line(line)
                reporter.flush()  # a log file shows it now, not when the cell has ended

    return say


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Let the session write its files before a launcher's signal can end it."""
    if session.config.stash[RUN].resources is not None:
        finish_writing()
    return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a cell whose method requires an arithmetic that the device lacks."""
    run, cell = item.config.stash[RUN].run, cell_of(item)
    if run is None or cell is None:
        return
    try:
        reason = run.why_not(cell)
    except EnergybenchError as error:
        pytest.fail(str(error), pytrace=False)
    if reason is not None:
        from energybench.records.event import SKIPPED

        ahead = item.config.stash[RUN].ahead
        if ahead is not None:
            ahead.drop(cell)

        run.keeper.note(SKIPPED, cell, reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def energy_session(pytestconfig: pytest.Config) -> "Session":
    """Return the session of this process: configuration, data, device, open meters.

    The test must have the mark `energy_matrix`, and the run a single process.
    """
    return open_session(pytestconfig)


@pytest.fixture(scope="session")
def bench(pytestconfig: pytest.Config) -> "Session":
    """Return `energy_session` under its deprecated name."""
    warnings.warn(
        "the fixture `bench` is now called `energy_session`; the old name works until version 0.2",
        DeprecationWarning,
        stacklevel=2,
    )
    return open_session(pytestconfig)


def open_session(config: pytest.Config) -> "Session":
    """Return the session of this process, or fail the test that asks for it."""
    run = config.stash[RUN].run
    if run is None:
        message = f"this needs @pytest.mark.{MATRIX_MARK}(models=..., methods=...)"
        pytest.fail(message, pytrace=False)
    from energybench.runs.executors.in_process import InProcess
    from energybench.runs.run import Run

    if not isinstance(run, Run):
        pytest.fail("this test measures by itself; leave out --energy-run", pytrace=False)
    if not isinstance(run.executor, InProcess):
        message = "this test measures in its own process; leave out --energy-world-size"
        pytest.fail(message, pytrace=False)
    return run.executor.session
