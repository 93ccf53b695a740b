"""`energybench journal` and `export`: what a journal holds, what it lacks, and JSON out of it."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.errors import UsageError
from energybench.records.journal import DEFAULT_PATH, Contents, Journal

if TYPE_CHECKING:
    from energybench.config import Cell


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `journal` and `export` to the commands."""
    journal = commands.add_parser("journal", help="the cells in a journal, and those missing")
    _add_path(journal)
    for name in ("models", "methods"):
        text = f"of the matrix, comma-separated (default: the {name} in the journal)"
        journal.add_argument(f"--{name}", metavar="NAMES", help=text)
    journal.add_argument("--seeds", type=int, metavar="N", help="of the matrix: 0 to N - 1")
    journal.set_defaults(run=_journal)

    export = commands.add_parser("export", help="a journal's cells as pytest-benchmark's JSON")
    _add_path(export)
    export.add_argument("-o", "--output", required=True, metavar="RUN.json")
    export.set_defaults(run=_export)


def _add_path(parser: argparse.ArgumentParser) -> None:
    text = f"default: {DEFAULT_PATH}"
    parser.add_argument("journal", nargs="?", default=str(DEFAULT_PATH), help=text)


def _journal(options: argparse.Namespace) -> None:
    from energybench.report.tables.journaled import journal_table

    contents = _contents(options.journal)
    print(journal_table(contents.latest.values()))
    missing = _missing(contents, _names(options.models), _names(options.methods), options.seeds)
    if missing:
        print(f"\nmissing: {', '.join(map(str, missing))}")


def _export(options: argparse.Namespace) -> None:
    from importlib.metadata import version

    from energybench.records.export import benchmark_json

    contents = _contents(options.journal)
    data = benchmark_json(contents.latest.values(), version("pytest-benchmark"))
    try:
        Path(options.output).write_text(json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {options.output}: {error.strerror}") from error
    print(f"wrote {len(contents.latest)} cells to {options.output}", file=sys.stderr)


def _contents(name: str) -> Contents:
    """Raises `UsageError` for a journal without any cell; says what is damaged."""
    contents = Journal(Path(name)).read()
    for phrase in contents.damaged:
        print(f"energybench: {name}, {phrase}", file=sys.stderr)
    if not contents.entries:
        raise UsageError(f"no finished cell in {name}; name the journal of a run")
    return contents


def _missing(
    contents: Contents,
    models: Sequence[str] | None,
    methods: Sequence[str] | None,
    seeds: int | None,
) -> "list[Cell]":
    """The cells of the matrix that the journal does not have, or has as interrupted only."""
    from energybench.runs.matrix import cells

    found = [entry.record for entry in contents.latest.values()]
    ended = {(one.model, one.method, one.seed) for one in found if one.status != "interrupted"}
    wanted = cells(
        models or list(dict.fromkeys(record.model for record in found)),
        methods or list(dict.fromkeys(record.method for record in found)),
        seeds or 1 + max(record.seed for record in found),
    )
    return [cell for cell in wanted if (cell.model, cell.method, cell.seed) not in ended]


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
