"""`energybench compare` for energies per call, as `pytest --energy` leaves them."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.records.saved import Run
    from energybench.report.gate import Limit, Verdict


def compare_calls(layout: str, runs: "Sequence[Run]", limits: "Sequence[Limit]") -> int:
    """Print the energies per call of `runs` side by side; return 1 where a limit is exceeded.

    Raises `UsageError` where nothing can be compared though it is asked for.
    """
    from energybench.report.calls import compare_calls as line_up
    from energybench.report.calls import judge_calls
    from energybench.report.tables.compared_calls import calls_json, calls_text

    if limits and len(runs) < 2:
        raise UsageError("--fail-on=joules has nothing to judge: fewer than two runs have any")
    found = line_up({run.label: run.calls for run in runs})
    if len(runs) > 1 and not found.comparable and found.refusals:
        raise UsageError(found.refusals[0])
    if layout == "json":
        print(json.dumps(calls_json(found), indent=1))
    else:
        print(calls_text(found, layout))
    if not limits:
        return 0
    if not found.comparable:
        raise UsageError(
            "--fail-on has nothing to judge: no test is in the first run and in another"
        )
    return said(judge_calls(found, limits))


def said(verdict: "Verdict") -> int:
    """Print what a gate found on standard error; return the exit status."""
    for line in verdict.unknown:
        print(f"energybench: {line}", file=sys.stderr)
    for line in verdict.offences:
        print(f"energybench: worse than allowed: {line}", file=sys.stderr)
    return 1 if verdict.offences else 0
