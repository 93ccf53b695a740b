"""`energybench contribute`: check a run by the rules for contributions, and sign it off."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.app.cli.output import JSON, output_path, write_text
from energybench.errors import UsageError, printable

if TYPE_CHECKING:
    from energybench.records.saved import Run

FOLDER = "results/community"


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `contribute` to the commands."""
    contribute = commands.add_parser(
        "contribute",
        help="check a run by the rules for contributed results, and sign it off",
        description="Say of every rule whether the run keeps it; exit with status 1 if one fails.",
    )
    contribute.add_argument(
        "run_name", metavar="RUN.json", help="JSON as pytest-benchmark saved it"
    )
    contribute.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"the signed-off file to write if every rule is kept: {FOLDER}/NAME.json",
    )
    contribute.add_argument(
        "--by", metavar="AUTHOR", help='who signs it off: "Name <mail>", or the name alone'
    )
    contribute.add_argument(
        "--fewer-seeds", action="store_true", help="say that some cells have fewer seeds"
    )
    contribute.set_defaults(run=_contribute)


def _contribute(options: argparse.Namespace) -> int:
    from energybench.records.contribution import check_author
    from energybench.records.saved import read_runs
    from energybench.report.contribution import judged

    output = None
    if options.output is not None:
        if options.by is None:
            raise UsageError('a contribution is signed off; say who by --by "Name <mail>"')
        check_author(options.by)
        output = output_path(options.output, JSON, [Path(options.run_name)])
    runs = read_runs([options.run_name])
    if len(runs) != 1:
        raise UsageError(f"{options.run_name!r} names {len(runs)} runs; name one file")
    (run,) = runs
    for note in run.notes:
        print(f"energybench: {note}", file=sys.stderr)
    found = judged(run, options.fewer_seeds)
    for rule, verdict in found:
        word = "pass" if verdict.passed else "FAIL"
        print(f"{word}  {rule.name:<10}{printable(verdict.reason)}")
    failed = sum(not verdict.passed for _, verdict in found)
    if failed:
        rest = "" if output is None else "; nothing was written"
        print(f"energybench: {failed} of {len(found)} rules fail{rest}", file=sys.stderr)
        return 1
    if output is not None:
        _sign(run, options.by, options.fewer_seeds, output)
    return 0


def _sign(run: "Run", author: str, fewer_seeds: bool, output: Path) -> None:
    from importlib.metadata import version

    from energybench.records.contribution import STATEMENT, contributed

    if run.contribution is not None:
        raise UsageError(f"{run.path} is signed off already, by {run.contribution.name}")
    assert run.commit_id is not None, "a rule asks for it"
    measured_on = run.measured_on or ""
    plain = version("pytest-benchmark")
    data = contributed(run.records, author, run.commit_id, measured_on, plain, fewer_seeds)
    write_text(output, json.dumps(data, indent=1) + "\n")
    print(f"\n{STATEMENT}\nSigned-off-by: {author}\n")
    print(printable(f"wrote {output}; open a pull request with it"), file=sys.stderr)
