"""Runs each cell as a test: journal, timer, record and table."""

import json
import warnings
from collections.abc import Callable, Generator
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from energybench import interruption
from energybench.app.plugin.block import baseline_follows, wait_for_baseline
from energybench.app.plugin.exporting import export_cells
from energybench.app.plugin.junit import note_properties
from energybench.app.plugin.mark import MATRIX_MARK
from energybench.app.plugin.state import RUN, PytestRun
from energybench.config import Cell
from energybench.errors import EnergybenchError, legible

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from energybench.app.plugin.state import AnyRun
    from energybench.records.record import RunRecord
    from energybench.runs.result import Result


class JournaledClock:
    """A timer for pytest-benchmark: the current time, or seconds that were measured elsewhere."""

    __name__ = "perf_counter_or_journal"

    def __init__(self) -> None:
        self._next: list[float] = []

    def __call__(self) -> float:
        """Return a reading, in seconds."""
        return self._next.pop(0) if self._next else perf_counter()

    def play(self, seconds: float) -> None:
        """Let the next two readings differ by `seconds`."""
        self._next = [0.0, seconds]

    def stop(self) -> None:
        """Return to the current time."""
        self._next = []


CLOCK = JournaledClock()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let pytest-benchmark time cells by a clock that replays the seconds of the executor."""
    if item.get_closest_marker(MATRIX_MARK):
        theirs = item.get_closest_marker("benchmark")
        options: dict[str, Any] = {"timer": CLOCK, **(theirs.kwargs if theirs else {})}
        item.add_marker(pytest.mark.benchmark(**options), append=False)


@pytest.fixture
def energy_cell(
    benchmark: "BenchmarkFixture", pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> "Callable[..., RunRecord]":
    """Run one cell: load, compress, fine-tune (the benchmark's time), finalize, evaluate.

    `energy_cell(cell)` returns the cell's record. The record is first added to the journal and to
    the benchmark's `extra_info`; then the test fails if the cell failed, or if the drop of its
    metric exceeds the tolerance; with `--energy-gate=confident`, if it does so beyond doubt. A cell
    whose baseline comes later in its block runs now, and its test starts again after the
    baseline's. `energy_cell(cell, tolerance=2.0, budget="equal")` overrides the options for this
    cell; None keeps them. With `--energy-resume` a cell in the journal is not run again.
    """
    return _cell_runner(benchmark, pytestconfig, request)


@pytest.fixture
def finetune(
    benchmark: "BenchmarkFixture", pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> "Callable[..., RunRecord]":
    """Return `energy_cell` under its deprecated name."""
    warnings.warn(
        "the fixture `finetune` is now called `energy_cell`; the old name works until version 0.2",
        DeprecationWarning,
        stacklevel=2,
    )
    return _cell_runner(benchmark, pytestconfig, request)


def _cell_runner(
    benchmark: "BenchmarkFixture", config: pytest.Config, request: pytest.FixtureRequest
) -> "Callable[..., RunRecord]":
    state = config.stash[RUN]
    run = state.run
    if run is None:
        message = f"this needs @pytest.mark.{MATRIX_MARK}(models=..., methods=...)"
        pytest.fail(message, pytrace=False)

    def run_cell(
        cell: Cell, tolerance: float | None = None, budget: str | None = None
    ) -> "RunRecord":
        from energybench.records.verdict import failure_text, without_energy

        benchmark.group = cell.model
        if state.ahead is not None:
            state.ahead.begin(cell)
        try:
            follows = baseline_follows(request.node)
            result = run.result(cell, tolerance, budget, baseline_follows=follows)
        except EnergybenchError as error:
            if state.ahead is not None:
                state.ahead.end(measured=False)
            pytest.fail(str(error), pytrace=False)
        if state.ahead is not None:
            state.ahead.end(measured=result.entry is None)
        _forget_early(request.node, state)
        if result.waits:
            _time(result, benchmark)
            state.early[request.node.nodeid] = result.record, benchmark.stats
            wait_for_baseline(request.node)
        _keep(result, run, benchmark, state)
        export_cells(config, [*run.unclaimed, result.record])
        state.resulted.add(request.node.nodeid)
        record = result.record
        note_properties(request.node, record, [*run.cached_baselines.values(), *state.measured])
        if result.outcome.broken:
            request.session.shouldstop = (
                f"{record.error}; --energy-resume continues with the next cell"
            )
        failure = failure_text(record, state.options.gate)
        if failure is None and state.options.run.measure.requires_energy:
            failure = without_energy(record)
        if failure is not None:
            pytest.fail(failure, pytrace=False)
        return record

    return run_cell


def _keep(result: "Result", run: "AnyRun", benchmark: "BenchmarkFixture", state: PytestRun) -> None:
    """Give a result to pytest-benchmark, to the session's table, and to the journal."""
    outcome = result.outcome
    timed = _time(result, benchmark)
    if timed:
        state.timed.add(len(state.records))
    state.records.append(outcome.record)
    if result.entry is not None:
        state.resumed += 1
    with interruption.postponed():
        run.keep(result, _entry(benchmark) if timed else None)
    if outcome.interruption is not None:
        raise outcome.interruption
    interruption.check()


def _time(result: "Result", benchmark: "BenchmarkFixture") -> bool:
    """Give the seconds and the record of a cell to pytest-benchmark; return whether it has any."""
    from energybench.records.flat_keys import flat_keys

    if result.outcome.seconds is None:
        return False
    play(benchmark, result.outcome.seconds)
    if result.entry is not None:
        benchmark.extra_info["resumed"] = result.entry.written_at
    benchmark.extra_info.update(flat_keys(result.record), energybench=result.record.to_json())
    return True


def _forget_early(item: pytest.Item, state: PytestRun) -> None:
    """Drop the timing that a test got while it waited; an interrupted session would keep it."""
    if item.nodeid in state.early:
        _, stats = state.early.pop(item.nodeid)
        timings: list[Any] = item.config._benchmarksession.benchmarks  # type: ignore[attr-defined]
        timings[:] = [one for one in timings if one is not stats]


def play(benchmark: "BenchmarkFixture", seconds: float) -> None:
    """Let pytest-benchmark record one call that took `seconds`.

    The cell itself runs outside the benchmarked call, because an exception inside would lose the
    whole JSON of pytest-benchmark.
    """
    CLOCK.play(seconds)
    try:
        benchmark.pedantic(lambda: None, rounds=1, iterations=1)
    finally:
        CLOCK.stop()


def _entry(benchmark: "BenchmarkFixture") -> dict[str, Any] | None:
    """Return pytest-benchmark's own entry of this test; None where timing is disabled."""
    from pytest_benchmark.utils import safe_dumps

    stats = benchmark.stats
    return json.loads(safe_dumps(stats.as_dict())) if stats else None


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]
) -> None:
    """Add the records that no benchmark has."""
    state = config.stash[RUN]
    if state.run is None:
        return
    output_json["energybench"] = {
        "records": [record.to_json() for record in state.untimed],
        "preparations": [asdict(done) for done in state.run.preparations],
    }


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None]:
    """Print the table of energy, epochs and metric after pytest-benchmark's own table."""
    try:
        return (yield)
    finally:  # also if pytest-benchmark's comparison ends the session here
        _write_table(terminalreporter, config.stash[RUN])


def _write_table(terminalreporter: pytest.TerminalReporter, state: PytestRun) -> None:
    run = state.run
    if run is None or not state.records:
        return
    from energybench.report.boards import board_lines
    from energybench.report.emissions import emission_lines
    from energybench.report.floor import floor, wide_floor_line
    from energybench.report.missing import cells_without_energy
    from energybench.report.sensitivity import estimate_line
    from energybench.report.tables.forecasts import forecast_lines
    from energybench.report.tables.results import result_table

    terminalreporter.write_sep("-", "energybench: energy of fine-tuning")
    cached = run.cached_baselines
    gate = state.options.gate
    terminalreporter.write_line(result_table(state.measured, cached=cached, gate=gate))
    for line in cells_without_energy(state.measured):
        terminalreporter.write_line(line, yellow=True)
    notes = (
        wide_floor_line(floor(state.measured)),
        estimate_line([*cached.values(), *state.measured]),
        *board_lines(state.measured),
        *emission_lines(state.measured),
    )
    for note in filter(None, notes):
        terminalreporter.write_line(note)
    for line in forecast_lines(state.measured, state.options.plan):
        terminalreporter.write_line(line)
    for done in run.preparations:
        terminalreporter.write_line(f"before the cells: {done}")
    for model, size in run.batch_sizes.items():
        terminalreporter.write_line(f"largest batch of {model} that fits: {size} images")
    if state.resumed:
        kept = legible(str(run.keeper.path))
        verb = "resumed" if state.attached is None else "played back"
        terminalreporter.write_line(f"{verb} from {kept}: {state.resumed} cells")
    for line in run.keeper.complaints():
        terminalreporter.write_line(f"energybench: {line}", yellow=True)
