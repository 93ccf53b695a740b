"""The `energybench` command."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing

from energybench import __version__
from energybench.config import RunConfig
from energybench.errors import EnergybenchError
from energybench.registry import DATASETS, METERS, METHODS, MODELS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it went well, 2 with one line on standard error otherwise."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except EnergybenchError as error:
        print(f"energybench: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="energybench", description=__doc__)
    parser.add_argument("--version", action="version", version=f"energybench {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="what can be named in --energy-* options")
    listing.set_defaults(run=_list)

    show = commands.add_parser("show", help="the result table of saved runs")
    show.add_argument("runs", nargs="+", metavar="RUN.json", help="as pytest-benchmark saved it")
    show.add_argument("--format", default="simple", choices=["simple", "github", "tsv"])
    show.set_defaults(run=_show)

    pretrain = commands.add_parser(
        "pretrain", help="fill the cache of networks pretrained on the embedded data set"
    )
    pretrain.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    pretrain.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    pretrain.set_defaults(run=_pretrain)
    return parser


def _list(options: argparse.Namespace) -> None:
    for registry in (MODELS, METHODS, DATASETS, METERS):
        print(f"{registry.kind + 's:':<12}{', '.join(registry.names())}")


def _show(options: argparse.Namespace) -> None:
    from energybench.report.runs import read_run
    from energybench.report.table import result_table

    for run in options.runs:
        print(result_table(read_run(run), options.format))


def _pretrain(options: argparse.Namespace) -> None:
    from energybench.bench import open_bench
    from energybench.lock import exclusive_use
    from energybench.progress import Progress

    names = [MODELS.check(name) for name in options.models or MODELS.names()]
    bench = open_bench(RunConfig(device=options.device), Progress(sys.stderr))
    with closing(bench), exclusive_use(wait=True, say=lambda line: print(line, file=sys.stderr)):
        for name in names:
            found = bench.pretrained(name)
            print(f"{name:<14}{found.facts['test_accuracy']:8.2%}  {found.path}", flush=True)
