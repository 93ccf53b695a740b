"""`energybench compare RUN --against last:N`: one run beside the runs before it."""

import argparse
import re
import sys

from energybench.app.cli.arguments import parts_of_the_protocol, terminal_width
from energybench.errors import UsageError
from energybench.rules import shown

_LAST = re.compile(r"last:([1-9]\d{0,2})")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a history to `compare`."""
    parser.add_argument(
        "--against",
        metavar="last:N",
        help="find steps over the N runs before RUN: what got worse, and since which run",
    )
    parser.add_argument(
        "--history",
        nargs="+",
        default=[],
        metavar="PATH",
        help="folders and files of these earlier runs (default: .benchmarks)",
    )


def compare_with_history(options: argparse.Namespace) -> int:
    """Print what the history shows; return 1 if `--fail-on` is exceeded."""
    newest = _newest(options.against)
    if len(options.runs) != 1:
        raise UsageError("--against compares one RUN with those before it; name one RUN")
    if options.why or options.by == "machine":
        raise UsageError("--against compares runs of one machine; leave out --why and --by")
    if options.format == "csv":
        raise UsageError("--against prints no csv; take --format=json or table")
    across = parts_of_the_protocol(options.across)

    from energybench.records.history import read_history
    from energybench.records.saved import read_runs
    from energybench.report.against import ENERGY, findings, newly_failed
    from energybench.report.gate import parse_limits
    from energybench.report.tables.github import history_github
    from energybench.report.tables.history import history_text

    limits = parse_limits(options.fail_on) if options.fail_on else ()
    runs = read_runs(options.runs)
    if len(runs) != 1:
        raise UsageError(f"{options.runs[0]!r} names {len(runs)} runs; name one file")
    history = read_history(runs[0], newest, options.history)
    for note in runs[0].notes:
        print(f"energybench: {note}", file=sys.stderr)
    found = findings(runs[0], history.runs, limits or ENERGY, across)
    failed = newly_failed(runs[0], history.runs) if limits else []
    if options.format == "github":
        print(history_github(found, limits, failed, history.notes))
    else:
        width = terminal_width() if options.format == "table" else None
        print(history_text(found, history.notes, options.format, width))
    if not limits:
        return 0
    offences = [*(f"{one.where}: {one.text}" for one in found if one.exceeded), *failed]
    for line in offences:
        print(f"energybench: worse than allowed: {line}", file=sys.stderr)
    return 1 if offences else 0


def _newest(text: str) -> int:
    found = _LAST.fullmatch(text)
    if found is None:
        raise UsageError(f"--against={shown(text)}: write last:N, as in last:20")
    return int(found[1])
