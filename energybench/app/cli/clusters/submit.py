"""`energybench submit`: plan a matrix, and send its blocks to Slurm."""

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from energybench import __version__
from energybench.app.cli.collecting import Collected, collect
from energybench.errors import UsageError, printable

if TYPE_CHECKING:
    from energybench.runs.clusters.inputs import Inputs
    from energybench.runs.clusters.kubernetes import Pod
    from energybench.runs.clusters.plan import ArrayTask, Plan, RunFolder

RUNS = Path(".energybench", "runs")
"""Folder of the runs that got no name, relative to the folder of the command."""
_OF_ONE_SUBMISSION = ("id", "made_at", "commit")
"""Parts of a plan in which two submissions of one run may differ."""
_OF_THE_SESSION = {
    "energy_journal": "each block has a journal of its own in the run's folder",
    "energy_compare": "compare where you attach by --energy-run",
    "energy_run": "it attaches to a run that is there already",
    "energy_block": "`energybench run-block` gives it",
    "benchmark_compare": "compare where you attach by --energy-run",
    "numprocesses": "cells are measured one at a time on each node",
}
"""Option of pytest -> why a submission does not take it."""


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `submit` to the commands."""
    submit = commands.add_parser(
        "submit",
        help="send a matrix to a Slurm cluster, one job per model and seed",
        usage="energybench submit [OPTIONS] -- PYTEST-ARGUMENTS",
        description="Everything behind -- is the command line of pytest. The same command again "
        "sends only the blocks that lack cells.",
    )
    submit.add_argument(
        "--run",
        dest="folder",
        metavar="FOLDER",
        help=f"folder of the run, on a file system of all nodes (default: one in {RUNS}/)",
    )
    submit.add_argument(
        "--kinds",
        default="",
        metavar="NAMES",
        help="features of nodes, such as h100,a100: the whole matrix runs on each",
    )
    submit.add_argument(
        "--slurm",
        default="",
        metavar="OPTIONS",
        help='options of sbatch, such as "partition=gpu time=08:00:00 gres=gpu:1"',
    )
    submit.add_argument(
        "--nodes", type=_count, default=1, help="machines that run each cell together (default: 1)"
    )
    submit.add_argument(
        "--ranks", type=_count, default=1, help="processes of a cell per machine (default: 1)"
    )
    submit.add_argument(
        "--engine",
        default="slurm",
        choices=["slurm", "k8s"],
        help="k8s writes a manifest a block, with --dry-run (default: slurm)",
    )
    submit.add_argument("--dry-run", action="store_true", help="send nothing; of k8s only")
    submit.add_argument("--image", metavar="IMAGE", help="k8s: image that has energybench")
    submit.add_argument(
        "--volume",
        metavar="CLAIM:PATH",
        help="k8s: volume claim that all pods share, and where it has the run's folder",
    )
    submit.add_argument("--gpus", type=int, default=1, help="k8s: GPUs of a pod (default: 1)")
    submit.add_argument("arguments", nargs="*", metavar="PYTEST-ARGUMENT")
    submit.set_defaults(run=_submit)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 10,000")
    return number


def _submit(options: argparse.Namespace) -> None:
    from energybench.runs.clusters import slurm
    from energybench.runs.clusters.inputs import inputs_of
    from energybench.runs.clusters.plan import RunFolder
    from energybench.runs.clusters.sharing import check_shared

    extra = slurm.parsed_options(options.slurm)
    kinds = tuple(dict.fromkeys(name for name in options.kinds.split(",") if name))
    pod = _pod(options)
    if pod is None:
        slurm.check_kinds(kinds)
    collected = collect(options.arguments, "submit", _OF_THE_SESSION)
    if collected.options.run.measure.wall_meter is not None:
        raise UsageError("--energy-wall-meter is on one machine, and jobs run on any; leave it out")
    if options.nodes * options.ranks > 1:
        collected.options.run.check_ranks(options.nodes * options.ranks)
    inputs = inputs_of(collected.options.run, collected.cells)
    folder = RunFolder(options.folder or _default_folder(options, kinds))
    note = None if pod is not None else check_shared(folder.path, slurm.hosts())
    plan = _planned(folder, _plan(options, kinds, collected, inputs))
    if pod is not None:
        _write_manifests(folder, plan, pod)
        return
    tasks = _to_send(folder, plan)
    if note is not None:
        _say(note)
    if collected.others:
        _say(f"{collected.others} tests are no cells, and stay out of the run")
    if not tasks:
        return
    for group in _by_kind(tasks):
        jobs = slurm.send(folder, plan, group, extra, pretrain=inputs.weights_missing)
        on = f" on {group[0].kind}" if group[0].kind else ""
        blocks = "1 block" if len(group) == 1 else f"{len(group)} blocks"
        print(f"job {', '.join(jobs)}: {blocks}{on}", flush=True)
    _say(f"follow it: pytest {shlex.join(plan.arguments)} --energy-run={folder}")
    _say(f"ask or end it: energybench status {folder}; energybench cancel {folder}")


def _pod(options: argparse.Namespace) -> "Pod | None":
    """What is asked of Kubernetes; None for Slurm. Raises `UsageError` for a contradiction."""
    from energybench.runs.clusters.kubernetes import Pod

    if options.engine == "slurm":
        if options.dry_run or options.image or options.volume:
            raise UsageError("--dry-run, --image and --volume are for --engine=k8s")
        return None
    if not options.dry_run:
        raise UsageError("--engine=k8s writes manifests and sends nothing; give --dry-run, too")
    claim, _, path = (options.volume or "").partition(":")
    if not options.image or not claim or not path.startswith("/"):
        raise UsageError("--engine=k8s needs --image=IMAGE and --volume=CLAIM:/PATH")
    return Pod(options.image, claim, path, options.gpus)


def _write_manifests(folder: "RunFolder", plan: "Plan", pod: "Pod") -> None:
    from energybench.runs.clusters.kubernetes import write_manifests
    from energybench.runs.clusters.states import unfinished

    lacking = unfinished(folder, plan.tasks)
    tasks = [task for task in plan.tasks if task.number in lacking]
    files = write_manifests(folder, plan, tasks, pod)
    if files:
        print(f"kubectl apply -f {shlex.quote(str(files[0].parent))}", flush=True)
    _say(f"wrote {len(files)} manifests, which have not run on any cluster yet")


def _default_folder(options: argparse.Namespace, kinds: Sequence[str]) -> Path:
    """A folder whose name the same command always gives."""
    command = [options.arguments, list(kinds), options.nodes, options.ranks]
    return RUNS / hashlib.sha256(json.dumps(command).encode()).hexdigest()[:8]


def _plan(
    options: argparse.Namespace, kinds: tuple[str, ...], collected: Collected, inputs: "Inputs"
) -> "Plan":
    from energybench.runs.clusters.plan import Plan, blocks_of, longest_first

    return Plan(
        id=token_hex(4),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        arguments=tuple(options.arguments),
        directory=str(Path.cwd()),
        python=sys.executable,
        energybench=__version__,
        commit=_commit(),
        config=json.loads(json.dumps(asdict(collected.options.run))),
        data=inputs.fingerprint,
        kinds=kinds,
        blocks=tuple(longest_first(blocks_of(collected.cells), inputs.sizes)),
        nodes=options.nodes,
        ranks=options.ranks,
    )


def _planned(folder: "RunFolder", new: "Plan") -> "Plan":
    """The plan that the folder has, if it is the same run; else `new`, written.

    Raises `UsageError` for the plan of another run.
    """
    if not folder.plan_path.exists():
        folder.write(new)
        return new
    old = folder.plan()
    same = {name: getattr(old, name) for name in _OF_ONE_SUBMISSION}
    if replace(new, **same) != old:
        names = [one.name for one in fields(old) if one.name not in _OF_ONE_SUBMISSION]
        unlike = [name for name in names if getattr(old, name) != getattr(new, name)]
        raise UsageError(
            f"{folder} has the plan of another run (it differs in {', '.join(unlike)}); "
            "name another folder with --run"
        )
    if old.commit != new.commit:
        _say(f"note: the run was planned at commit {old.commit}, and this is {new.commit}")
    return old


def _to_send(folder: "RunFolder", plan: "Plan") -> "list[ArrayTask]":
    """The tasks that lack cells and are not in the queue; a line says how many are not sent."""
    from energybench.runs.clusters.slurm import queued
    from energybench.runs.clusters.states import unfinished

    tasks = plan.tasks
    lacking = unfinished(folder, tasks)
    waiting = queued(plan) or {}
    sent = [task for task in tasks if task.number in lacking and task.number not in waiting]
    if len(sent) < len(tasks):
        queue = sum(number in waiting for number in lacking)
        _say(f"{len(tasks) - len(lacking)} of {len(tasks)} blocks are done, {queue} in the queue")
    return sent


def _by_kind(tasks: "Sequence[ArrayTask]") -> "list[list[ArrayTask]]":
    found: dict[str | None, list[ArrayTask]] = {}
    for task in tasks:
        found.setdefault(task.kind, []).append(task)
    return list(found.values())


def _commit() -> str | None:
    """The commit of this folder, `-dirty` behind it where files differ; None outside of git."""
    try:
        head, changes = (
            subprocess.run(["git", *words], capture_output=True, text=True, timeout=10.0)
            for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
