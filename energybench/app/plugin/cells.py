"""One cell as a test: run or taken from the journal, timed, kept, in the JSON and in the table."""

import json
from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from energybench.app.plugin.mark import MATRIX_MARK
from energybench.app.plugin.session import RUN, Run
from energybench.config import Cell
from energybench.errors import EnergybenchError

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from energybench.records.record import RunRecord
    from energybench.runs.bench import Bench
    from energybench.runs.checkpoints import Checkpoint


class JournaledClock:
    """A timer for pytest-benchmark: the time now, or of a cell that an earlier run has timed."""

    __name__ = "perf_counter_or_journal"

    def __init__(self) -> None:
        self._next: list[float] = []

    def __call__(self) -> float:
        """Seconds."""
        return self._next.pop(0) if self._next else perf_counter()

    def play(self, seconds: float) -> None:
        """Let the next two readings lie so far apart."""
        self._next = [0.0, seconds]

    def stop(self) -> None:
        """Show the time again."""
        self._next = []


CLOCK = JournaledClock()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let pytest-benchmark time cells by a clock that can show what was measured before."""
    options_of_run = item.config.stash[RUN].options
    plays = options_of_run.resume or options_of_run.checkpoint or options_of_run.world_size > 1
    if plays and item.get_closest_marker(MATRIX_MARK):
        theirs = item.get_closest_marker("benchmark")
        options: dict[str, Any] = {"timer": CLOCK, **(theirs.kwargs if theirs else {})}
        item.add_marker(pytest.mark.benchmark(**options), append=False)


@pytest.fixture
def finetune(
    benchmark: "BenchmarkFixture",
    bench: "Bench",
    pytestconfig: pytest.Config,
    request: pytest.FixtureRequest,
) -> "Callable[..., RunRecord]":
    """Run one cell under pytest-benchmark: load, compress, fine-tune (timed), evaluate.

    `finetune(cell)` returns the cell's record after adding it to the journal and to the benchmark's
    `extra_info`, and fails the test when the cell failed or its accuracy drop exceeds the
    tolerance. `finetune(cell, tolerance=2.0, budget="equal")` asks something else for this cell
    than the options did; None leaves what they say. With `--energy-resume` a cell that the journal
    has is not run again.
    """
    from energybench.report.result_table import tolerance_failure
    from energybench.runs.batch_size import with_largest_batch

    run = pytestconfig.stash[RUN]

    def run_benchmark(
        cell: Cell, tolerance: float | None = None, budget: str | None = None
    ) -> "RunRecord":
        try:
            own = with_largest_batch(bench.overridden(tolerance, budget), cell.model)
        except EnergybenchError as error:
            pytest.fail(str(error), pytrace=False)
        benchmark.group = cell.model
        test = _Test(cell, own, benchmark, run)
        record = test.resumed() or test.measured()
        if bench.group.broken:
            request.session.shouldstop = (
                f"{record.error}; --energy-resume goes on with the next cell"
            )
        failure = tolerance_failure(record)
        if failure is not None:
            pytest.fail(failure, pytrace=False)
        return record

    return run_benchmark


class _Test:
    """One cell's way into pytest-benchmark, the journal and the session's records."""

    def __init__(self, cell: Cell, bench: "Bench", benchmark: "BenchmarkFixture", run: Run) -> None:
        self.cell, self.benchmark, self.run = cell, benchmark, run
        assert run.keeper is not None  # there is one wherever there is a bench
        self.keeper = run.keeper
        self.bench = replace(
            bench,
            finished=self._keep,
            resumed=self.keeper.finished,
            checkpoint=self._checkpoint if run.options.checkpoint else None,
        )
        self._calls = 0

    def resumed(self) -> "RunRecord | None":
        """What an earlier run has measured of the cell, if this session resumes it."""
        if not self.run.options.resume:
            return None
        found = self.keeper.earlier(self.bench.key(self.cell))
        entry = self.bench.group.of_first(found)
        if entry is None:
            return None
        if entry.benchmark is not None:
            self._play(entry.benchmark["stats"]["total"])
            self.benchmark.extra_info["resumed"] = entry.written_at
        if self.cell == self.cell.reference:
            self.bench.baselines[self.cell.model, self.cell.seed] = entry.record
        self._add(entry.record)
        self.run.resumed += 1
        return entry.record

    def measured(self) -> "RunRecord":
        """Run the cell now."""
        from energybench.runs.cell import run_cell
        from energybench.runs.executors.remote import RemoteBench, run_remotely

        if isinstance(self.bench, RemoteBench):
            return run_remotely(self.cell, self.bench, lambda timed: self._play(timed()))
        return run_cell(self.cell, self.bench, self._timer)

    def _checkpoint(self, key: str) -> "Checkpoint":
        from energybench.runs.checkpoints import Checkpoint

        folder = self.keeper.path.parent / "checkpoints"
        return Checkpoint(folder, key, self.run.options.resume, self.keeper.complain)

    def _timer(self, timed: Callable[[], float]) -> None:
        if self.bench.checkpoint is None:
            self._time(timed)
        else:  # pytest-benchmark cannot leave out of a call what saving took
            self._play(timed())

    def _time(self, timed: Callable[[], object]) -> None:
        def once() -> None:
            self._calls += 1
            if self._calls == 1:  # --benchmark-cprofile calls again, to profile
                timed()

        self.benchmark.pedantic(once, rounds=1, iterations=1)

    def _play(self, seconds: float) -> None:
        """Give pytest-benchmark seconds that were measured before."""
        CLOCK.play(seconds)
        try:
            self._time(lambda: None)
        finally:
            CLOCK.stop()

    def _keep(self, key: str, record: "RunRecord") -> None:
        """The cell, or the baseline that had to run for it, has ended."""
        if (record.model, record.method, record.seed) != (
            self.cell.model,
            self.cell.method,
            self.cell.seed,
        ):
            self.keeper.keep(key, record)
            return
        self._add(record)
        self.keeper.keep(key, record, self._entry() if self._calls else None)

    def _entry(self) -> dict[str, Any] | None:
        """What pytest-benchmark will write of this test, if it times."""
        from pytest_benchmark.utils import safe_dumps

        stats = self.benchmark.stats
        return json.loads(safe_dumps(stats.as_dict())) if stats else None

    def _add(self, record: "RunRecord") -> None:
        if self._calls:
            self.benchmark.extra_info.update(record.headline(), energybench=record.to_json())
            self.run.timed.add(len(self.run.records))
        self.run.records.append(record)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]
) -> None:
    """Add what no benchmark carries: cells that failed early, references on demand, preparation."""
    run = config.stash[RUN]
    if run.bench is None:
        return
    untimed = [record for i, record in enumerate(run.records) if i not in run.timed]
    output_json["energybench"] = {
        "records": [record.to_json() for record in (*run.bench.on_demand, *untimed)],
        "preparations": [asdict(done) for done in run.bench.preparations],
    }


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None]:
    """The table of energy, epochs and accuracy, after pytest-benchmark's own."""
    try:
        return (yield)
    finally:  # also when pytest-benchmark's comparison ends the session here
        _write_table(terminalreporter, config.stash[RUN])


def _write_table(terminalreporter: pytest.TerminalReporter, run: Run) -> None:
    if run.bench is None or not run.records:
        return
    from energybench.report.result_table import result_table

    terminalreporter.write_sep("-", "energybench: energy of fine-tuning")
    terminalreporter.write_line(result_table(run.measured, cached=run.bench.cached))
    for done in run.bench.preparations:
        terminalreporter.write_line(f"before the cells: {done}")
    for model, size in run.bench.batch_sizes.items():
        terminalreporter.write_line(f"largest batch of {model} that fits: {size} images")
    if run.keeper is None:
        return
    if run.resumed:
        terminalreporter.write_line(f"resumed from {run.keeper.path}: {run.resumed} cells")
    for line in run.keeper.complaints():
        terminalreporter.write_line(f"energybench: {line}", yellow=True)
