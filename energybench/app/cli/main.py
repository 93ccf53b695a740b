"""The `energybench` command."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from energybench import __version__
from energybench.app.cli import (
    checking,
    clusters,
    comparing,
    contributing,
    doctor,
    emissions,
    init,
    journals,
    planning,
    reports,
)
from energybench.app.cli.arguments import add_options, given_value, run_config
from energybench.app.cli.streams import standard_output
from energybench.energy.lock import InUse
from energybench.errors import EnergybenchError
from energybench.registry import DATASETS, EXECUTORS, METERS, METHODS, MODELS, image_models


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    The status is 0 for success, 1 if `compare` finds a limit exceeded or `check` a rule broken, and
    2 for a mistake of the user, with one line on standard error.
    """
    with standard_output() as output:
        options = _parser().parse_args(arguments)
        try:
            output.status = options.run(options) or 0
        except EnergybenchError as error:
            flag = " without --no-wait" if isinstance(error, InUse) else ""
            print(f"energybench: {error}{flag}", file=sys.stderr)
            output.status = 2
    return output.status


class _Parser(argparse.ArgumentParser):
    """A parser that does not hide that its help cannot be written."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:
            (file or sys.stderr).write(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="energybench", description=__doc__)
    parser.add_argument("--version", action="version", version=f"energybench {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    init.add_command(commands)

    listing = commands.add_parser("list", help="the names that options accept: models, methods...")
    listing.set_defaults(run=_list)

    reports.add_commands(commands)
    comparing.add_command(commands)
    contributing.add_command(commands)
    journals.add_commands(commands)
    emissions.add_command(commands)
    checking.add_command(commands)
    clusters.add_commands(commands)

    _add_no_wait(doctor.add_command(commands))
    _add_no_wait(planning.add_command(commands))

    capacity = commands.add_parser(
        "capacity", help="find how many low-order bits of its weights a network does not need"
    )
    capacity.add_argument("--model", default="resnet18", help="names, comma-separated, or all")
    capacity.add_argument("--scope", default="weights", choices=["weights", "all"])
    capacity.add_argument("--strategy", default="sweep", choices=["sweep", "bisect"])
    capacity.add_argument("--per-layer", action="store_true", help="search each layer alone, too")
    add_options(capacity, "tolerance", "dataset", "links", "weights", "device")
    capacity.add_argument(
        "-o", "--output", metavar="FILE", help="draw the graph into this file, .svg or .png"
    )
    _add_no_wait(capacity)
    capacity.set_defaults(run=_capacity)

    pretrain = commands.add_parser(
        "pretrain", help="pretrain networks for the embedded data, where the cache lacks them"
    )
    pretrain.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    add_options(pretrain, "seeds", "device")
    _add_no_wait(pretrain)
    pretrain.set_defaults(run=_pretrain)
    return parser


def _add_no_wait(parser: argparse.ArgumentParser) -> None:
    text = "fail at once while another measurement runs on this machine"
    parser.add_argument("--no-wait", dest="wait", action="store_false", help=text)


def _list(options: argparse.Namespace) -> None:
    for registry in (MODELS, METHODS, DATASETS, METERS, EXECUTORS):
        print(f"{registry.kind + 's:':<12}{', '.join(registry.names())}")


def _capacity(options: argparse.Namespace) -> None:
    names = image_models() if options.model == "all" else options.model.split(",")
    names = [MODELS.check(name.strip()) for name in names]
    config = run_config(options)  # before the imports, which take seconds

    from energybench.compression.capacity import Capacity
    from energybench.progress import Progress
    from energybench.report.figures.capacities import save_capacities
    from energybench.report.style import check_figure_path
    from energybench.report.tables.capacity_bits import capacity_table
    from energybench.runs.startup import open_session
    from energybench.runs.studies.capacity_curves import capacity_curves

    output = Path(options.output) if options.output else None
    if output is not None:
        check_figure_path(output)
    kind = {"scope": options.scope, "strategy": options.strategy, "per_layer": options.per_layer}
    curves: dict[str, Capacity] = {}
    with (
        closing(open_session(config, Progress(sys.stderr), for_energy=False, say=_say)) as session,
        session.exclusive_use(options.wait, say=_say),
    ):
        session.prepare(names)
        try:
            for name in names:
                found = capacity_curves(session, name, **kind, say=_say)
                print(capacity_table(found), end="\n\n", flush=True)
                curves |= found
        finally:  # draw the finished curves, also after an error
            if output is not None and curves:
                save_capacities(curves, output, options.per_layer)
                _say(f"wrote {output}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _pretrain(options: argparse.Namespace) -> None:
    names = [MODELS.check(name) for name in options.models or image_models()]
    config = run_config(options)  # before the imports, which take seconds
    seeds = given_value(options, "seeds") or 1

    from energybench.progress import Progress
    from energybench.runs.startup import open_session

    texts = [name for name in names if name not in image_models()]
    images = [name for name in names if name not in texts]
    for dataset, group in ((config.dataset, images), ("text", texts)):
        if not group:
            continue
        asked = replace(config, dataset=dataset)
        opened = open_session(asked, Progress(sys.stderr), for_energy=False, say=_say)
        with closing(opened) as session, session.exclusive_use(options.wait, say=_say):
            for name in group:
                for seed in range(seeds):
                    found = session.of_seed(seed).pretrained(name)
                    label = name if seeds == 1 else f"{name} seed {seed}"
                    accuracy = found.facts.get("test_accuracy")
                    known = f"{accuracy:8.2%}" if accuracy is not None else " " * 8
                    print(f"{label:<20}{known}  {found.path}", flush=True)
