"""`energybench status` and `cancel`: where a run on a cluster is, and its end."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from energybench.errors import UsageError, printable

if TYPE_CHECKING:
    from energybench.runs.clusters.plan import Plan, RunFolder
    from energybench.runs.clusters.queue import Ended, Queued
    from energybench.runs.clusters.states import Standing


def add_commands(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `status` and `cancel` to the commands."""
    status = commands.add_parser("status", help="say how far a run on a cluster is")
    status.add_argument("folder", metavar="RUN")
    status.set_defaults(run=_status)

    cancel = commands.add_parser("cancel", help="end the jobs of a run on a cluster")
    cancel.add_argument("folder", metavar="RUN")
    cancel.set_defaults(run=_cancel)


def _status(options: argparse.Namespace) -> None:
    from energybench.report.quoting import text_table
    from energybench.runs.clusters import slurm
    from energybench.runs.clusters.plan import RunFolder
    from energybench.runs.clusters.states import Watch

    folder = RunFolder(options.folder)
    plan = folder.plan()
    queue = slurm.queued(plan)
    watch = Watch(folder)
    found = [watch.look(task) for task in plan.tasks]
    rows = [_row(standing, queue, folder) for standing in found]
    print(text_table(rows, ["block", "state", "node", "cells", "failed", "now"]))
    states = Counter(row[1] for row in rows)
    print(f"\n{len(rows)} blocks: {', '.join(f'{count} {name}' for name, count in states.items())}")
    if queue is None:
        print("Slurm cannot be asked from here, so that a lost block looks like one that waits")
    for line in _troubles(folder, plan, found, queue):
        print(printable(line))


def _row(standing: "Standing", queue: "dict[int, Queued] | None", folder: "RunFolder") -> list[str]:
    from energybench.runs.clusters.live import live_line

    task = standing.task
    job = None if queue is None else queue.get(task.number)
    results = standing.results
    failed = sum(entry.record.status == "failed" for entry in results)
    node = job.node if job is not None else (standing.origin.node if standing.origin else "")
    now = (live_line(folder.live(task)) or "") if job is not None and job.runs else ""
    cells = f"{len(results)}/{len(task.block.methods)}"
    return [task.name, _state(standing, queue), node, cells, str(failed or ""), now]


def _state(standing: "Standing", queue: "dict[int, Queued] | None") -> str:
    job = None if queue is None else queue.get(standing.task.number)
    if standing.has_ended:
        return "done"
    if job is not None:
        return "running" if job.runs else "waiting"
    if standing.refused is not None:
        return "refused"
    if queue is None:
        return "not done"
    return "cut short" if standing.contents.events else "not started"


def _troubles(
    folder: "RunFolder",
    plan: "Plan",
    found: "list[Standing]",
    queue: "dict[int, Queued] | None",
) -> Iterator[str]:
    """A line per failed cell, per refusal, and per block that ended without a trace."""
    from energybench.runs.clusters import slurm

    ends: dict[int, Ended] = {}
    with suppress(UsageError):
        ends = slurm.last_ends(plan)
    missing = 0
    for standing in found:
        name, state = standing.task.name, _state(standing, queue)
        for entry in standing.results:
            if entry.record.status == "failed":
                yield f"{name}: {entry.record.method} failed: {entry.record.error}"
        for phrase in standing.contents.damaged:
            yield f"{name}: {phrase}"
        job = None if queue is None else queue.get(standing.task.number)
        if job is not None and job.held:
            yield f"{name}: Slurm holds it ({job.reason}); `scontrol release {job.job}` lets it run"
        if state not in ("refused", "cut short", "not started"):
            continue
        missing += 1
        last, end = standing.origin, ends.get(standing.task.number)
        if standing.refused is not None:
            yield f"{name}: {last} refused: {standing.refused.reason}"
        elif standing.started is not None:
            yield f"{name}: {standing.started.cell} was cut short on {standing.started.origin}"
        trouble = None if end is None else end.trouble(folder)
        if end is not None and trouble is not None and (last is None or last.job != end.job):
            yield f"{name}: {trouble}"
    if missing:
        yield "the same `energybench submit` runs what is missing"


def _cancel(options: argparse.Namespace) -> None:
    from energybench.runs.clusters import slurm
    from energybench.runs.clusters.plan import RunFolder

    folder = RunFolder(options.folder)
    ended = slurm.cancel(folder.plan())
    blocks = "1 block" if ended == 1 else f"{ended} blocks"
    print(f"ended {blocks}; what they have measured is kept in {folder}", file=sys.stderr)
