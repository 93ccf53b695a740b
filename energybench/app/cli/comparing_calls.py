"""`energybench compare` for energies per call, as `pytest --energy` leaves them."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.records.saved import Run
    from energybench.report.calls import CallComparison
    from energybench.report.gate import Limit, Verdict


def compared(runs: "Sequence[Run]", limits: "Sequence[Limit]") -> "CallComparison":
    """Return the energies per call of `runs` side by side.

    Raises `UsageError` where they may not be compared, or there is nothing that `limits` can judge.
    """
    from energybench.report.calls import compare_calls

    if limits and len(runs) < 2:
        raise UsageError("--fail-on=joules has nothing to judge: fewer than two runs have any")
    found = compare_calls({run.label: run.calls for run in runs})
    if len(runs) > 1 and not found.comparable:
        if found.refusals:
            raise UsageError(found.refusals[0])
        if limits:
            raise UsageError(
                "--fail-on has nothing to judge: no test is in the first run and in another"
            )
    return found


def show(found: "CallComparison", layout: str, limits: "Sequence[Limit]", after_cells: bool) -> int:
    """Print a comparison; return 1 where a limit is exceeded.

    The JSON is a document of its own, so it is left out after that of cells.
    """
    from energybench.report.calls import judge_calls
    from energybench.report.tables.compared_calls import calls_json, calls_text
    from energybench.report.tables.github import calls_github

    verdict = judge_calls(found, limits)
    if layout == "github":
        print("\n" * after_cells + calls_github(found, limits, verdict if limits else None))
    elif layout != "json":
        print("\n" * after_cells + calls_text(found, layout))
    elif not after_cells:
        print(json.dumps(calls_json(found), indent=1))
    else:
        print("energybench: the JSON has no energies per call, only cells", file=sys.stderr)
    return said(verdict)


def said(verdict: "Verdict") -> int:
    """Print what a gate found on standard error; return the exit status."""
    for line in verdict.unknown:
        print(f"energybench: {line}", file=sys.stderr)
    for line in verdict.offences:
        print(f"energybench: worse than allowed: {line}", file=sys.stderr)
    return 1 if verdict.offences else 0
