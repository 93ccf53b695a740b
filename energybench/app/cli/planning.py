"""`energybench plan`: what the cells that pytest would run take on this machine."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.app.cli.arguments import terminal_width
from energybench.app.cli.collecting import Collected, collect
from energybench.app.cli.output import JSON, output_path
from energybench.errors import UsageError, printable

if TYPE_CHECKING:
    from energybench.records.record import RunRecord
    from energybench.runs.forecasts.cost import Effort
    from energybench.runs.forecasts.matrix import MatrixForecast

_OF_A_CLUSTER = {
    "energy_run": "a plan is of this machine",
    "energy_block": "a plan is of this machine",
    "numprocesses": "cells are measured one at a time",
}
"""Option of pytest -> why a plan does not take it."""


def add_command(commands: "argparse._SubParsersAction[Any]") -> argparse.ArgumentParser:
    """Add `plan` to the commands."""
    plan: argparse.ArgumentParser = commands.add_parser(
        "plan",
        help="say what a matrix takes here: time, energy, memory, price",
        usage="energybench plan [OPTIONS] -- PYTEST-ARGUMENTS",
        description="Everything behind -- is the command line of pytest. Each model and method is "
        "measured for a few training steps; nothing is trained to its end.",
    )
    plan.add_argument(
        "--like",
        action="append",
        default=[],
        metavar="FILE",
        help="journal or saved run whose like cells tell the epochs; may be repeated (default: the "
        "journal of the run, if it is there)",
    )
    plan.add_argument("--price", type=_amount, metavar="PER_KWH", help="price of a kWh")
    plan.add_argument(
        "--seconds", type=_amount, default=3.0, help="seconds of measured steps (default: 3)"
    )
    plan.add_argument(
        "--search",
        type=_amount,
        default=30.0,
        metavar="SECONDS",
        help="longest search of a method; a longer one is cut short (default: 30)",
    )
    plan.add_argument(
        "-o", "--output", metavar="FILE.json", help="keep the plan, for --energy-plan=FILE.json"
    )
    plan.add_argument("arguments", nargs="*", metavar="PYTEST-ARGUMENT")
    plan.set_defaults(run=_plan)
    return plan


def _amount(text: str) -> float:
    with suppress(ValueError):
        number = float(text)
        if 0 <= number <= 1e6:
            return number
    raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1,000,000")


def _plan(options: argparse.Namespace) -> None:
    from energybench.app.plugin.torchrun import rank

    runs = [Path(name) for name in options.like]
    output = output_path(options.output, JSON, runs) if options.output else None
    if rank() is not None:
        raise UsageError("plan in one process, without torchrun; --energy-world-size starts ranks")
    collected = collect(options.arguments, "plan", _OF_A_CLUSTER)
    like = _like(options.like, Path(collected.options.journal))

    from energybench.report.tables.forecasts import memory_table, plan_lines, plan_table
    from energybench.runs.forecasts.cost import Effort

    effort = Effort(options.seconds, options.search)
    plan = _measured(collected, options, effort, like)
    plan = replace(plan, price_per_kwh=options.price)
    print(plan_table(plan, terminal_width()))
    if plan.known:
        print(f"\nmemory per rank\n{memory_table(plan)}\n")
    for line in plan_lines(plan):
        print(printable(line))
    if output is not None:
        plan.write(output)
        _say(f"wrote {output}; pytest ... --energy-plan={output} says how good it was")
    if not plan.known:
        raise UsageError("no cell could be measured, for the reasons above")


def _like(names: Sequence[str], journal: Path) -> "list[RunRecord]":
    """Read the ended cells of the files that are named, else of the run's own journal."""
    from energybench.records.saved import read_runs

    if not names and not journal.exists():
        return []
    found = read_runs(names or [str(journal)])
    return [record for run in found for record in run.records]


def _measured(
    collected: Collected,
    options: argparse.Namespace,
    effort: "Effort",
    like: "Sequence[RunRecord]",
) -> "MatrixForecast":
    """Open the executor of the run, and measure its cells."""
    from energybench.app.plugin.torchrun import executor_name
    from energybench.progress import Progress
    from energybench.registry import EXECUTORS
    from energybench.runs.executors.base import Executor, Locking, Setup
    from energybench.runs.forecasts.making import Planner, without_idle

    asked = collected.options
    setup = Setup(
        config=without_idle(asked.run),
        models=tuple(dict.fromkeys(cell.model for cell in collected.cells)),
        world_size=asked.world_size,
        progress=Progress(sys.stderr),
        say=_say,
    )
    with ExitStack() as resources:
        executor: Executor = EXECUTORS.get(executor_name(asked))(setup)
        resources.callback(executor.close)
        if isinstance(executor, Locking):
            resources.enter_context(executor.exclusive_use(options.wait and asked.wait, _say))
        planner = Planner(asked.run, executor, effort, _say)
        cells = list(zip(collected.cells, collected.tolerances, strict=True))
        return planner.forecast(cells, options.arguments, like)


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
