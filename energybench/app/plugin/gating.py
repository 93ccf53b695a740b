"""`--energy-compare`: compare this run with a saved run; exceeded limits fail the session."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from energybench.app.plugin.state import RUN
from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.records.calls import CallEnergy
    from energybench.records.record import RunRecord
    from energybench.report.comparison import Comparison
    from energybench.report.gate import Limit, Verdict

THIS_RUN = "this run"


@dataclass
class Compare:
    """The saved run, the limits, and at the end the result of the comparison."""

    label: str
    records: "tuple[RunRecord, ...]"
    limits: "tuple[Limit, ...]"
    """Those on cells."""
    calls: "dict[str, CallEnergy]"
    call_limits: "tuple[Limit, ...]"
    """Those on energies per call, see `call_gating`."""
    found: "Comparison | None" = None
    verdict: "Verdict | None" = None

    @property
    def name(self) -> str:
        """The saved run's label, told from `THIS_RUN`."""
        return self.label if self.label != THIS_RUN else f"{self.label} (saved)"


COMPARE = pytest.StashKey[Compare]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the saved run before any measurement, so that a wrong name fails at once."""
    options = config.stash[RUN].options
    if options.compare is None:
        if options.compare_fail is not None:
            raise pytest.UsageError("--energy-compare-fail needs --energy-compare=RUN")
        return
    from energybench.records.saved import read_runs
    from energybench.report.gate import of_cells_and_calls, parse_limits

    try:
        runs = read_runs([options.compare], or_calls=True, storage=_storage(config))
        if len(runs) != 1:
            raise UsageError(f"{options.compare!r} names {len(runs)} runs; name one file")
        limits = parse_limits(options.compare_fail) if options.compare_fail else ()
    except UsageError as error:
        raise pytest.UsageError(f"--energy-compare: {error}") from error
    cells, calls = of_cells_and_calls(limits)
    saved = runs[0]
    config.stash[COMPARE] = Compare(saved.label, saved.records, cells, saved.calls, calls)


def _storage(config: pytest.Config) -> Path | None:
    """Return the folder where pytest-benchmark stores runs; None for its usual one."""
    asked = config.getoption("benchmark_storage", None)
    if not isinstance(asked, str) or not asked.startswith("file://"):
        return None
    return Path(asked.removeprefix("file://"))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compare, and fail the session if a limit is exceeded."""
    compare = session.config.stash.get(COMPARE, None)
    measured = session.config.stash[RUN].measured
    if compare is None or not measured:
        return
    from energybench.report.comparison import compare as line_up
    from energybench.report.gate import judge

    label = compare.name
    ours = {(record.model, record.method, record.seed) for record in measured}
    saved = [one for one in compare.records if (one.model, one.method, one.seed) in ours]
    compare.found = line_up({label: saved, THIS_RUN: measured})
    compare.verdict = judge(compare.found, compare.limits)
    verdict = compare.verdict
    bad = verdict.offences or verdict.refused or (compare.limits and not compare.found.comparable)
    if bad and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None]:
    """Print the comparison after the table of this run."""
    try:
        return (yield)
    finally:
        compare = config.stash.get(COMPARE, None)
        if compare is not None and compare.found is not None and compare.verdict is not None:
            _write(terminalreporter, compare, compare.found, compare.verdict)


def _write(
    terminal: pytest.TerminalReporter, compare: Compare, found: "Comparison", verdict: "Verdict"
) -> None:
    from energybench.report.tables.compared import comparison_text

    terminal.write_sep("-", f"energybench: compared with {compare.label}")
    terminal.write_line(comparison_text(found))
    for line in verdict.unknown:
        terminal.write_line(line)
    if compare.limits and not found.comparable:
        terminal.write_line("--energy-compare-fail: nothing could be compared", red=True)
    if verdict.refused is not None:
        terminal.write_line(f"--energy-compare-fail: {verdict.refused}", red=True)
    for line in verdict.offences:
        terminal.write_line(f"worse than allowed: {line}", red=True)
