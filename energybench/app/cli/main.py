"""The `energybench` command."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from energybench import __version__
from energybench.app.cli import compare, init, journal, reports
from energybench.app.cli.options import add_options, run_config
from energybench.errors import EnergybenchError, UsageError
from energybench.registry import DATASETS, METERS, METHODS, MODELS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 for success, 1 if `compare` finds a limit exceeded, 2 for a mistake of the user's, with one
    line on standard error.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int | None = options.run(options)
        sys.stdout.flush()  # not at exit: an error there could not be caught
    except EnergybenchError as error:
        print(f"energybench: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has left, for instance head or less
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="energybench", description=__doc__)
    parser.add_argument("--version", action="version", version=f"energybench {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    init.add_command(commands)

    listing = commands.add_parser("list", help="the names that options accept: models, methods...")
    listing.set_defaults(run=_list)

    reports.add_commands(commands)
    compare.add_command(commands)
    journal.add_commands(commands)

    doctor = commands.add_parser("doctor", help="what can be measured on this machine")
    doctor.add_argument(
        "--observe",
        type=_seconds,
        default=1.5,
        metavar="S",
        help="seconds per meter (default: 1.5)",
    )
    doctor.add_argument(
        "--idle", type=_seconds, default=3.0, metavar="S", help="quiet seconds (default: 3)"
    )
    doctor.add_argument("--json", metavar="FILE", help="keep what was found in a file, too")
    doctor.set_defaults(run=_doctor)

    capacity = commands.add_parser(
        "capacity", help="find how many low-order bits of its weights a network does not need"
    )
    capacity.add_argument("--model", default="resnet18", help="names, comma-separated, or all")
    capacity.add_argument("--scope", default="weights", choices=["weights", "all"])
    capacity.add_argument("--strategy", default="sweep", choices=["sweep", "bisect"])
    capacity.add_argument("--per-layer", action="store_true", help="search each layer alone, too")
    add_options(capacity, "tolerance", "dataset", "weights", "device")
    capacity.add_argument(
        "-o", "--output", metavar="FILE", help="draw the graph into this file, .svg or .png"
    )
    capacity.set_defaults(run=_capacity)

    pretrain = commands.add_parser(
        "pretrain", help="fill the cache of networks pretrained on the embedded data set"
    )
    pretrain.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    add_options(pretrain, "device")
    pretrain.set_defaults(run=_pretrain)
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.0 <= seconds < 3600.0:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds, 0 to 3600")
    return seconds


def _list(options: argparse.Namespace) -> None:
    for registry in (MODELS, METHODS, DATASETS, METERS):
        print(f"{registry.kind + 's:':<12}{', '.join(registry.names())}")


def _capacity(options: argparse.Namespace) -> None:
    from energybench.compression.capacity import Capacity
    from energybench.progress import Progress
    from energybench.report.capacity_text import capacity_figure, capacity_table
    from energybench.report.style import check_figure_path
    from energybench.runs.opening import open_bench
    from energybench.runs.studies.capacities import capacities

    output = Path(options.output) if options.output else None
    if output is not None:
        check_figure_path(output)
    names = MODELS.names() if options.model == "all" else options.model.split(",")
    names = [MODELS.check(name.strip()) for name in names]
    config = run_config(options)
    kind = {"scope": options.scope, "strategy": options.strategy, "per_layer": options.per_layer}
    curves: dict[str, Capacity] = {}
    with (
        closing(open_bench(config, Progress(sys.stderr), for_energy=False)) as bench,
        bench.exclusive_use(wait=True, say=_say),
    ):
        bench.prepare(names, _say)
        try:
            for name in names:
                found = capacities(bench, name, **kind, say=_say)
                print(capacity_table(found), end="\n\n", flush=True)
                curves |= found
        finally:  # draw the finished curves, whatever ended the others
            if output is not None and curves:
                capacity_figure(curves, output, options.per_layer)
                _say(f"wrote {output}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _doctor(options: argparse.Namespace) -> None:
    from energybench.energy.doctor import diagnose
    from energybench.energy.lock import exclusive_use, resources
    from energybench.energy.measurement import gpus
    from energybench.energy.opening import open_meters
    from energybench.report.diagnosis_text import diagnosis_text

    with open_meters(("auto",), gpus()) as meters:
        names = resources(meters.sources, trains_on_cpu=True)
    with exclusive_use(names, wait=True, say=_say):
        found = diagnose(gpus(), options.observe, options.idle)
    print(diagnosis_text(found))
    if options.json:
        try:
            Path(options.json).write_text(json.dumps(found.to_json(), indent=1) + "\n")
        except OSError as error:
            raise UsageError(f"cannot write {options.json}: {error.strerror}") from error


def _pretrain(options: argparse.Namespace) -> None:
    from energybench.progress import Progress
    from energybench.runs.opening import open_bench

    names = [MODELS.check(name) for name in options.models or MODELS.names()]
    bench = open_bench(run_config(options), Progress(sys.stderr), for_energy=False)
    with closing(bench), bench.exclusive_use(wait=True, say=_say):
        for name in names:
            found = bench.pretrained(name)
            print(f"{name:<14}{found.facts['test_accuracy']:8.2%}  {found.path}", flush=True)
