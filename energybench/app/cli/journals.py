"""`energybench journal` and `export`: list a journal's cells, and write runs for other programs."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.app.cli.arguments import add_options, given_value
from energybench.app.cli.output import JSON, MARKDOWN, output_path, refuse_runs, write_text
from energybench.app.session_options import DEFAULT_JOURNAL
from energybench.config import Cell
from energybench.errors import UsageError, printable
from energybench.report.exports import FORMATS

if TYPE_CHECKING:
    from energybench.records.journal import Contents

PYTEST_BENCHMARK = "pytest-benchmark"
_SUFFIXES = {"boamps": JSON, "huggingface": (*MARKDOWN, ".yaml", ".yml"), "spdx": JSON}
"""Format in `report.exports` -> the suffixes of its files, where it has some."""


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `journal` and `export` to the commands."""
    journal = commands.add_parser(
        "journal", help="list the cells in a journal, and the missing ones"
    )
    _add_path(journal)
    add_options(journal, "models", "methods", "seeds", default="those in the journal")
    journal.set_defaults(run=_journal)

    export = commands.add_parser(
        "export",
        help="write a journal as JSON of pytest-benchmark, or a run as others read it",
    )
    _add_path(export, "a journal, the JSON of a run, or the folder of a run on a cluster")
    export.add_argument(
        "--format",
        default=PYTEST_BENCHMARK,
        choices=[PYTEST_BENCHMARK, *FORMATS],
        help=f"default: {PYTEST_BENCHMARK}",
    )
    export.add_argument("--cell", metavar="NAME", help="one cell alone: resnet18-stego-seed0")
    export.add_argument(
        "-o", "--output", metavar="FILE", help="default: the standard output, for formats of others"
    )
    export.set_defaults(run=_export)


def _add_path(
    parser: argparse.ArgumentParser, text: str = "a journal, or the folder of a run on a cluster"
) -> None:
    default = f"{text} (default: {DEFAULT_JOURNAL})"
    parser.add_argument("journal", nargs="?", default=DEFAULT_JOURNAL, help=default)


def _journal(options: argparse.Namespace) -> None:
    from energybench.report.tables.journaled import journal_table

    asked = (given_value(options, name) for name in ("models", "methods", "seeds"))
    models, methods, seeds = asked
    contents = _contents(options.journal)
    print(journal_table(contents.counted.values()))
    missing = _missing(contents, models, methods, seeds)
    if missing:
        print(f"\nmissing: {printable(', '.join(map(str, missing)))}")


def _export(options: argparse.Namespace) -> None:
    if options.format != PYTEST_BENCHMARK:
        _export_for_others(options)
        return
    if options.output is None:
        raise UsageError("-o RUN.json is missing: the file to write the journal's cells to")
    from importlib.metadata import version

    from energybench.records.export import benchmark_json

    if options.cell is not None:
        raise UsageError(f"--cell is for {', '.join(FORMATS)}; leave it out, or name a --format")
    path = output_path(options.output, JSON, [Path(options.journal)])
    contents = _contents(options.journal)
    data = benchmark_json(contents.counted.values(), version("pytest-benchmark"))
    write_text(path, json.dumps(data, indent=1) + "\n")
    print(printable(f"wrote {len(contents.counted)} cells to {path}"), file=sys.stderr)


def _export_for_others(options: argparse.Namespace) -> None:
    from energybench.records.saved import read_runs
    from energybench.report.exports import write
    from energybench.report.exports.facts import only_cell

    path = _output_of(options)
    runs = read_runs([options.journal])
    for note in (note for run in runs for note in run.notes):
        print(f"energybench: {note}", file=sys.stderr)
    if options.cell is not None:
        runs = only_cell(runs, options.cell)
    text = write(options.format, runs)
    if path is None:
        print(text, end="")
        return
    refuse_runs(path, [run.path for run in runs])
    write_text(path, text)
    print(printable(f"wrote {path}"), file=sys.stderr)


def _contents(name: str) -> "Contents":
    """Read a journal and report its damaged lines; raise `UsageError` if it has no cell."""
    from energybench.records.run_folder import read_contents

    contents = read_contents(Path(name))
    for phrase in contents.damaged:
        print(f"energybench: {printable(name)}, {phrase}", file=sys.stderr)
    if not contents.entries:
        raise UsageError(f"no finished cell in {name}; name the journal of a run")
    return contents


def _missing(
    contents: "Contents",
    models: Sequence[str] | None,
    methods: Sequence[str] | None,
    seeds: int | None,
) -> list[Cell]:
    """The cells of the matrix that the journal lacks, or has as interrupted ones only."""
    from energybench.runs.matrix import cells, check_names

    records = (entry.record for entry in contents.counted.values())
    found = [record for record in records if record.script is None]  # no matrix has a script
    ended = {(one.model, one.method, one.seed) for one in found if one.status != "interrupted"}
    check_names(models or (), methods or ())  # the journal's own need no registration here
    names = models or list(dict.fromkeys(record.model for record in found))
    kinds = methods or list(dict.fromkeys(record.method for record in found))
    if seeds is not None:
        wanted = cells(names, kinds, seeds)
    else:
        own = sorted({record.seed for record in found})
        wanted = [Cell(name, kind, seed) for name in names for seed in own for kind in kinds]
    return [cell for cell in wanted if (cell.model, cell.method, cell.seed) not in ended]


def _output_of(options: argparse.Namespace) -> Path | None:
    """The file to write; None for the standard output."""
    if options.output is None:
        return None
    suffixes = _SUFFIXES.get(options.format)
    if suffixes is None:
        return Path(options.output)
    return output_path(options.output, suffixes, [Path(options.journal)])
