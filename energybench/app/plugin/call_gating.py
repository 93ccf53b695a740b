"""`--energy-compare` for energies per call; exceeded limits fail the session."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from energybench.app.plugin.energy import CALLS
from energybench.app.plugin.gating import COMPARE, THIS_RUN, Compare
from energybench.app.plugin.state import NOT_RUNNING, RUN

if TYPE_CHECKING:
    from energybench.report.calls import CallComparison
    from energybench.report.gate import Verdict


@dataclass
class _Found:
    """The result of the comparison; `comparison` is None where no call was measured."""

    comparison: "CallComparison | None" = None
    verdict: "Verdict | None" = None


_FOUND = pytest.StashKey[_Found]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compare, and fail the session if a limit is exceeded or nothing can be judged."""
    config = session.config
    compare = config.stash.get(COMPARE, None)
    if compare is None or any(config.getoption(name, 0) for name in NOT_RUNNING):
        return
    found = _compared(config, compare)
    if found is None:
        return
    config.stash[_FOUND] = found
    offends = found.verdict is not None and found.verdict.offences
    nothing = compare.call_limits and not (found.comparison and found.comparison.comparable)
    if (offends or nothing) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _compared(config: pytest.Config, compare: Compare) -> _Found | None:
    """Return the comparison; None in a session that has nothing to do with calls."""
    ours = config.stash[CALLS].results
    if not ours:
        return _Found() if compare.call_limits and config.stash[RUN].options.per_call else None
    from energybench.report.calls import compare_calls, judge_calls

    saved = {name: energy for name, energy in compare.calls.items() if name in ours}
    found = compare_calls({compare.name: saved, THIS_RUN: ours})
    return _Found(found, judge_calls(found, compare.call_limits))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the comparison after the table of this run."""
    compare, found = config.stash.get(COMPARE, None), config.stash.get(_FOUND, None)
    if compare is None or found is None:
        return
    if found.comparison is not None and found.verdict is not None:
        from energybench.report.tables.compared_calls import calls_text

        terminalreporter.write_sep("-", f"energybench: energy per call against {compare.label}")
        terminalreporter.write_line(calls_text(found.comparison))
        for line in found.verdict.unknown:
            terminalreporter.write_line(line)
        for line in found.verdict.offences:
            terminalreporter.write_line(f"worse than allowed: {line}", red=True)
    if compare.call_limits and not (found.comparison and found.comparison.comparable):
        terminalreporter.write_line(
            "--energy-compare-fail: no energy per call could be compared", red=True
        )
