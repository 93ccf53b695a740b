"""`energybench compare`: compare saved runs, explain their differences, and check limits."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from energybench.app.cli import against
from energybench.app.cli.arguments import parts_of_the_protocol, terminal_width
from energybench.app.cli.comparing_calls import compared, said, show
from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.records.record import RunRecord
    from energybench.records.saved import Run
    from energybench.report.comparison import Comparison
    from energybench.report.gate import Limit


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `compare` to the commands."""
    compare = commands.add_parser(
        "compare",
        help="compare saved runs; with one run, each method with its baseline",
        description="Compare each run with the first.",
    )
    compare.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="JSON as pytest-benchmark saved it, an id in .benchmarks/ such as 0001, or a journal",
    )
    compare.add_argument("--by", choices=["run", "machine"], default="run", help="default: run")
    compare.add_argument(
        "--across",
        default="",
        metavar="NAMES",
        help="allow these parts of the protocol to differ: precision,batch_size",
    )
    compare.add_argument(
        "--format",
        default="table",
        choices=["table", "markdown", "github", "csv", "json"],
        help="github: a verdict and a folded table, for a pull request (default: table)",
    )
    compare.add_argument(
        "--why", action="store_true", help="show each ratio as epochs x steps x seconds x watts"
    )
    compare.add_argument(
        "--fail-on",
        metavar="LIMITS",
        help="exit with status 1 if a run is worse by more: kwh:5%%,accuracy:1pp,duration:10%%, "
        "or joules:10%% for energies per call",
    )
    against.add_arguments(compare)
    compare.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    if options.against is not None:
        return against.compare_with_history(options)
    if options.history:
        raise UsageError("--history needs --against, as in --against last:20")
    from energybench.records.saved import read_runs
    from energybench.report.gate import of_cells_and_calls, parse_limits

    across = parts_of_the_protocol(options.across)
    limits = parse_limits(options.fail_on) if options.fail_on else ()
    on_cells, on_calls = of_cells_and_calls(limits)
    runs = read_runs(options.runs, or_calls=True)
    for note in (note for run in runs for note in run.notes):
        print(f"energybench: {note}", file=sys.stderr)
    with_cells = [run for run in runs if run.records]
    with_calls = [run for run in runs if run.calls]
    if limits and len(runs) < 2 and options.by == "run":
        raise UsageError("--fail-on needs two runs to compare; name another RUN")
    calls = compared(with_calls, on_calls) if with_calls or on_calls else None
    status = 0
    if with_cells or on_cells:
        status = _compare_cells(options, with_cells, across, on_cells)
    if calls is not None:
        status = max(status, show(calls, options.format, on_calls, after_cells=bool(with_cells)))
    return status


def _compare_cells(
    options: argparse.Namespace,
    runs: "Sequence[Run]",
    across: frozenset[str],
    limits: "Sequence[Limit]",
) -> int:
    from energybench.report.comparison import compare
    from energybench.report.gate import judge
    from energybench.report.tables.compared import comparison_text
    from energybench.report.tables.github import comparison_github

    groups = _groups(runs, options.by)
    if limits and len(groups) < 2:
        noun = "machines" if options.by == "machine" else "runs"
        raise UsageError(f"--fail-on needs two {noun} to compare; name another RUN")
    found = compare(groups, across)
    verdict = judge(found, limits)
    width = terminal_width() if options.format == "table" else None
    boards = options.by == "machine"
    if options.format == "github":
        print(comparison_github(found, limits, verdict if limits else None, boards))
    else:
        print(comparison_text(found, options.format, boards, width))
    if options.why:
        _print_why(found, options.format, width)
    if not limits:
        return 0
    if not found.comparable:
        raise UsageError(
            "--fail-on has nothing to judge: no cell is in the first run and in another"
        )
    if verdict.refused is not None:
        raise UsageError(f"--fail-on: {verdict.refused}")
    return said(verdict)


def _groups(runs: "Sequence[Run]", by: str) -> "dict[str, Sequence[RunRecord]]":
    from energybench.report.comparison import machine_groups

    if by == "machine":
        return dict(machine_groups(record for run in runs for record in run.records))
    return {run.label: run.records for run in runs}


def _print_why(found: "Comparison", layout: str, width: int | None) -> None:
    from energybench.report.tables.compared import FORMATS, why_text

    table = FORMATS.get(layout)
    if table is None:
        raise UsageError(f"--why prints a table; leave out --format={layout}")
    text = why_text(found, table, width)
    print(f"\nwhy, each factor with its share of the log ratio:\n{text}")
