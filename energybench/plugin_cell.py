"""One cell as a test: run or taken from the journal, timed, kept, in the JSON and in the table."""

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from energybench.config import Cell
from energybench.errors import UsageError
from energybench.plugin import MATRIX_MARK, RUN, Run

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from energybench.bench import Bench
    from energybench.journal import Entry
    from energybench.record import RunRecord


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
    """In a session that resumes, let pytest-benchmark time cells by a clock that can go back."""
    if item.config.stash[RUN].options.resume and item.get_closest_marker(MATRIX_MARK):
        theirs = item.get_closest_marker("benchmark")
        options: dict[str, Any] = {"timer": CLOCK, **(theirs.kwargs if theirs else {})}
        item.add_marker(pytest.mark.benchmark(**options), append=False)


@pytest.fixture
def finetune(
    benchmark: "BenchmarkFixture", bench: "Bench", pytestconfig: pytest.Config
) -> "Callable[..., RunRecord]":
    """Run one cell under pytest-benchmark: load, compress, fine-tune (timed), evaluate.

    `finetune(cell)` returns the cell's record after adding it to the journal and to the benchmark's
    `extra_info`, and fails the test when the cell failed or its accuracy drop exceeds the
    tolerance. `finetune(cell, tolerance_pp=2.0, budget="equal")` asks something else for this cell
    than the options did; None leaves what they say. With `--energy-resume` a cell that the journal
    has is not run again.
    """
    from energybench.report.table import tolerance_failure

    run = pytestconfig.stash[RUN]

    def run_benchmark(
        cell: Cell, tolerance_pp: float | None = None, budget: str | None = None
    ) -> "RunRecord":
        try:
            own = bench.overridden(tolerance_pp, budget)
        except UsageError as error:
            pytest.fail(str(error), pytrace=False)
        benchmark.group = cell.model
        test = _Test(cell, own, benchmark, run)
        record = test.resumed() or test.measured()
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
        self.bench = replace(bench, finished=self._keep, resumed=self.keeper.finished)
        self._calls = 0

    def resumed(self) -> "RunRecord | None":
        """What an earlier run has measured of the cell, if this session resumes it."""
        if not self.run.options.resume:
            return None
        entry = self.keeper.earlier(self.bench.key(self.cell))
        if entry is None:
            return None
        if entry.benchmark is not None:
            self._play(entry, entry.benchmark)
        if self.cell == self.cell.reference:
            self.bench.baselines[self.cell.model, self.cell.seed] = entry.record
        self._add(entry.record)
        self.run.resumed += 1
        return entry.record

    def measured(self) -> "RunRecord":
        """Run the cell now."""
        from energybench.cell import run_cell

        return run_cell(self.cell, self.bench, self._timer)

    def _timer(self, timed: Callable[[], None]) -> None:
        def once() -> None:
            self._calls += 1
            if self._calls == 1:  # --benchmark-cprofile calls again, to profile
                timed()

        self.benchmark.pedantic(once, rounds=1, iterations=1)

    def _play(self, entry: "Entry", timed: dict[str, Any]) -> None:
        """Give pytest-benchmark the seconds that it measured in an earlier run."""
        CLOCK.play(timed["stats"]["total"])
        try:
            self._timer(lambda: None)
        finally:
            CLOCK.stop()
        self.benchmark.extra_info["resumed"] = entry.written_at

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
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Add the stable facts that identify this machine; a comparison asks for them at the start."""
    from energybench.hardware import describe_machine

    machine_info["energybench"] = describe_machine().to_json()


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(
    config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]
) -> None:
    """Add the records that no benchmark carries: cells that failed early, references on demand."""
    run = config.stash[RUN]
    if run.bench is None:
        return
    untimed = [record for i, record in enumerate(run.records) if i not in run.timed]
    output_json["energybench"] = {
        "records": [record.to_json() for record in (*run.bench.on_demand, *untimed)]
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
    from energybench.report.table import result_table

    terminalreporter.write_sep("-", "energybench: energy of fine-tuning")
    terminalreporter.write_line(result_table(run.measured, cached=run.bench.cached))
    if run.keeper is None:
        return
    if run.resumed:
        terminalreporter.write_line(f"resumed from {run.keeper.path}: {run.resumed} cells")
    for line in run.keeper.complaints():
        terminalreporter.write_line(f"energybench: {line}", yellow=True)
