"""`energybench show`, `report` and `plot`: print tables, write pages and draw figures."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.app.cli.arguments import terminal_width
from energybench.app.cli.output import MARKDOWN, PAGE, output_path, refuse_runs, write_text
from energybench.errors import UsageError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from energybench.records.saved import Run


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `show`, `report` and `plot` to the commands."""
    show = commands.add_parser("show", help="print the result table of saved runs, cell by cell")
    _add_runs(show)
    show.add_argument("--format", default="simple", choices=["simple", "github", "tsv"])
    show.set_defaults(run=_show)

    report = commands.add_parser("report", help="write saved runs as one self-contained page")
    _add_runs(report)
    report.add_argument("-o", "--output", metavar="FILE", help="the page, for instance report.html")
    report.add_argument(
        "--markdown",
        action="store_true",
        help="write the tables for a README; without -o, to standard output",
    )
    report.add_argument(
        "--readme",
        metavar="PAGE",
        help="write the results into PAGE, between the lines <!-- results of RUN --> (or findings "
        "of, report of) and <!-- end of results -->",
    )
    report.set_defaults(run=_report)

    plot = commands.add_parser("plot", help="draw one figure of a saved run")
    plot.add_argument("figure", nargs="?", metavar="FIGURE", help="a name that --list shows")
    plot.add_argument("run_name", nargs="?", metavar="RUN", help="as for report")
    plot.add_argument("-o", "--output", metavar="FILE", help=".svg or .png")
    plot.add_argument("--list", action="store_true", help="list the figures")
    plot.set_defaults(run=_plot)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    text = (
        "JSON as pytest-benchmark saved it, an id in .benchmarks/ such as 0001, a journal, or the "
        "folder of a run on a cluster"
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help=text)


def _show(options: argparse.Namespace) -> None:
    from energybench.report.boards import board_lines
    from energybench.report.emissions import emission_lines
    from energybench.report.missing import cells_without_energy
    from energybench.report.sensitivity import estimate_line
    from energybench.report.tables.results import result_table

    for run in _read(options.runs, need_records=True):
        width = terminal_width() if options.format == "simple" else None
        print(result_table(run.records, options.format, width=width))
        if options.format == "tsv":
            continue
        notes = (
            *cells_without_energy(run.records),
            estimate_line(run.records),
            *board_lines(run.records),
            *emission_lines(run.records),
        )
        for line in filter(None, notes):
            print(f"\n{line}")


def _report(options: argparse.Namespace) -> None:
    from energybench.report.page import markdown, page

    if options.readme is not None:
        _fill(Path(options.readme), options.runs)
        return
    if options.output is None and not options.markdown:
        raise UsageError("name the page with -o report.html, or print tables with --markdown")
    suffixes = MARKDOWN if options.markdown else PAGE
    given = map(Path, options.runs)
    output = None if options.output is None else output_path(options.output, suffixes, given)
    runs = _read(options.runs)
    text = markdown(runs) if options.markdown else page(runs)
    if output is None:
        print(text, end="")
        return
    _write(output, text)


def _fill(path: Path, names: "Sequence[str]") -> None:
    """Write the results of the runs into their blocks of the page `path`."""
    from energybench.report.readme import fill

    output_path(str(path), MARKDOWN, map(Path, names))
    runs = {name: run for name in names for run in _read([name])}
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    _write(path, fill(text, runs))


def _write(path: Path, text: str) -> None:
    write_text(path, text)
    print(printable(f"wrote {path}"), file=sys.stderr)


def _plot(options: argparse.Namespace) -> None:
    from energybench.report.figures import FIGURES
    from energybench.report.sections import sections
    from energybench.report.style import check_figure_path, look, save_figure

    if options.list:
        for name, kind in FIGURES.items():
            print(f"{name:<16} {kind.named().title}")
        return
    if options.figure not in FIGURES:
        raise UsageError(f"no figure {options.figure!r}; known: {', '.join(FIGURES)}")
    if options.run_name is None or options.output is None:
        raise UsageError("name a RUN, and the file with -o figure.svg")
    path = Path(options.output)
    check_figure_path(path)
    refuse_runs(path, [Path(options.run_name)])
    found = sections(_read([options.run_name]))
    with look(ink="#000000", grid="#d5d8dc"):
        drawn = (FIGURES[options.figure].draw(section) for section in found)
        figure = next((one for one in drawn if one is not None), None)
        if figure is None:
            raise UsageError(f"{options.run_name} has no data for the figure {options.figure!r}")
        save_figure(figure, path)
    print(printable(f"wrote {path}"), file=sys.stderr)


def _read(names: "Sequence[str]", need_records: bool = False) -> "list[Run]":
    """Read the runs, and report damaged parts on standard error."""
    from energybench.records.saved import read_runs

    runs = read_runs(names, need_records)
    for run in runs:
        for note in run.notes:
            print(f"energybench: {note}", file=sys.stderr)
    return runs
