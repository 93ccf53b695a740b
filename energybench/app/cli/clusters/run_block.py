"""`energybench run-block`: one block of a plan as a session of pytest, in the place of its job.

Exit status 0 says that every cell of the block has its result, well or not; any other one that the
block must run again, here or on another node.
"""

import argparse
import io
import os
import sys
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from energybench.app.cli.collecting import QUIET
from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.runs.clusters.plan import ArrayTask, Plan, RunFolder

PRETRAIN = "pretrain"
"""In place of a block's number: make the missing weights of the whole run."""


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `run-block` to the commands."""
    block = commands.add_parser("run-block", help="run one block of a plan here, as its job does")
    block.add_argument("folder", metavar="RUN")
    block.add_argument("number", metavar="N", help=f"a block's number, or {PRETRAIN}")
    block.set_defaults(run=_run_block)


def _run_block(options: argparse.Namespace) -> int:
    from energybench.runs.clusters.plan import RunFolder

    folder = RunFolder(options.folder)
    plan = folder.plan()
    if options.number == PRETRAIN:
        _pretrain(plan)
        return 0
    if not options.number.isdecimal():
        raise UsageError(f"{options.number!r} is no block's number")
    return _run(folder, plan, plan.task(int(options.number)))


def _run(folder: "RunFolder", plan: "Plan", task: "ArrayTask") -> int:
    import pytest

    journal = folder.journal(task)
    arguments = [
        *plan.arguments,
        f"--energy-run={folder}",
        f"--energy-block={task.number}",
        f"--energy-journal={journal}",
        "--energy-resume",
        "--energy-no-wait",
        QUIET,
    ]
    print(f"block {task.name}: pytest {' '.join(arguments)}", flush=True)
    errors = _Tee(sys.stderr)
    sys.stderr = errors
    try:
        status = int(pytest.main(arguments))
    finally:
        sys.stderr = errors.stream
    if os.environ.get("RANK", "0") != "0":
        return status
    if status not in (
        pytest.ExitCode.OK,
        pytest.ExitCode.TESTS_FAILED,
        pytest.ExitCode.INTERRUPTED,
    ):
        _note_refusal(folder, task, errors.reason or f"pytest ended with status {status}")
        return status
    from energybench.runs.clusters.states import Watch

    ended = Watch(folder).look(task).has_ended
    return 0 if ended else status or 1


def _note_refusal(folder: "RunFolder", task: "ArrayTask", reason: str) -> None:
    from energybench.app.plugin.on_cluster import origin
    from energybench.records.event import REFUSED
    from energybench.records.journal import Journal
    from energybench.records.keeper import Keeper

    with suppress(UsageError):  # the job's exit status and its log tell it, too
        Keeper(Journal(folder.journal(task)), False, origin()).note(REFUSED, reason=reason)


class _Tee(io.TextIOBase):
    """Standard error, and pytest's own line on why a session cannot run."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.reason: str | None = None

    def write(self, text: str) -> int:
        """Write to the stream; keep the first line that begins with ERROR."""
        if self.reason is None and "ERROR: " in text:
            self.reason = text.partition("ERROR: ")[2].strip().partition("\n")[0]
        self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()

    def fileno(self) -> int:
        """The stream's descriptor."""
        number: int = self.stream.fileno()
        return number


def _pretrain(plan: "Plan") -> None:
    """Make what is missing of the weights of every block, as `energybench pretrain` does."""
    from energybench.progress import Progress
    from energybench.runs.clusters.inputs import config_of
    from energybench.runs.startup import open_session

    opened = open_session(config_of(plan), Progress(None), for_energy=False, say=_say)
    with closing(opened) as session, session.exclusive_use(False, say=_say):
        for block in plan.blocks:
            session.of_seed(block.seed).pretrained(block.model)


def _say(line: str) -> None:
    print(line, flush=True)
