"""`energybench check`: what a saved run shows of rules that others have written."""

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from energybench.errors import UsageError, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from energybench.records.record import RunRecord
    from energybench.report.mlperf import Checked


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `check` to the commands."""
    command = commands.add_parser(
        "check",
        help="say, rule by rule, what a saved run shows of MLPerf's power rules",
        description="Exit with status 1 if a rule is broken.",
    )
    command.add_argument("rules", choices=list(_RULES), help="the rules")
    command.add_argument("runs", nargs="+", metavar="RUN", help="JSON, an id, or a journal")
    command.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    from energybench.records.saved import read_runs

    runs = read_runs(options.runs)
    for note in (note for run in runs for note in run.notes):
        print(f"energybench: {note}", file=sys.stderr)
    records = [record for run in runs for record in run.records]
    if not records:
        raise UsageError(f"{', '.join(options.runs)} holds no cell; name a run of the suite")
    checked = _RULES[options.rules](records)
    states = [finding.state for one in checked for finding in one.findings]
    for one in checked:
        print(printable(one.name))
        for finding in one.findings:
            print(printable(f"  {finding.state:<12}{finding.rule}: {finding.text}"))
    counts = {state: states.count(state) for state in ("pass", "fail", "cannot know")}
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return 1 if counts["fail"] else 0


def _mlperf(records: "Iterable[RunRecord]") -> "Sequence[Checked]":
    from energybench.report.mlperf import check_mlperf

    return check_mlperf(records)


_RULES: "Mapping[str, Callable[[Iterable[RunRecord]], Sequence[Checked]]]" = {"mlperf": _mlperf}
"""Name of the rules -> their check."""
