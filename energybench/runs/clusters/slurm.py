"""Slurm by its own commands: send arrays of tasks, ask for them, end them."""

import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence

from energybench.errors import UsageError
from energybench.runs.clusters.plan import ArrayTask, Plan, RunFolder
from energybench.runs.clusters.queue import UNSHARED, WITH_A_NODE, Ended, Queued

LIMIT_S = 25.0
"""Seconds that one of Slurm's commands may take."""
DEFAULT_ARRAY = 1001
"""Tasks of an array where Slurm does not say how many it allows: its own default."""
_PRETRAIN = "pretrain"
"""In place of a block's number, and at the end of the name of that job."""
_OURS = (
    "array", "chdir", "constraint", "exclusive", "job-name", "nodes", "no-requeue", "open-mode",
    "output", "error", "parsable", "requeue", "wrap",
)  # fmt: skip
"""Options of sbatch that `submit` sets itself."""


def parsed_options(text: str) -> list[str]:
    """Return the options of sbatch in `text`, such as "partition=gpu gres=gpu:1".

    Raises `UsageError` for one that `submit` sets itself.
    """
    try:
        words = [word.lstrip("-") for word in shlex.split(text)]
    except ValueError as error:
        raise UsageError(f"--slurm is {text!r}: {error}") from error
    for word in words:
        name = word.partition("=")[0]
        if name in _OURS:
            advice = "use --kinds" if name == "constraint" else "leave it out"
            raise UsageError(f"--slurm: {name} is set by energybench; {advice}")
    return [f"--{word}" for word in words]


def check_kinds(kinds: Iterable[str]) -> None:
    """Raise `UsageError` for a kind that no node has as a feature, and where there is no Slurm."""
    features = {
        name
        for line in _asked("sinfo", "-hN", "-o", "%f").splitlines()
        for name in line.split(",")
        if name and name != "(null)"
    }
    for kind in kinds:
        if kind not in features:
            known = f"they have {', '.join(sorted(features))}" if features else "they have none"
            raise UsageError(f"--kinds: no node has the feature {kind!r}; {known}")


def hosts() -> list[str]:
    """The names of the machines that are nodes; raises `UsageError` where Slurm cannot be asked."""
    return _asked("sinfo", "-hN", "-o", "%n").split()


def send(
    folder: RunFolder,
    plan: Plan,
    tasks: Sequence[ArrayTask],
    options: Sequence[str],
    pretrain: bool = False,
) -> list[str]:
    """Send tasks of one kind as arrays, in their order; returns the jobs' numbers.

    With `pretrain` they wait for the end of a job that makes missing weights. Raises `UsageError`
    where Slurm refuses.
    """
    kind = tasks[0].kind
    size = _most_in_an_array()
    wait = _sent_pretraining(folder, plan, kind, options) if pretrain else []
    chunks: dict[int, list[int]] = {}
    for task in tasks:
        chunks.setdefault(task.number // size, []).append(task.number % size)
    jobs = []
    for chunk, indices in sorted(chunks.items()):
        array = [f"--array={ranges(indices)}", f"--output={_escaped(folder.logs)}/%A_%a.log"]
        script = _script(folder, plan, f'"$((SLURM_ARRAY_TASK_ID + {chunk * size}))"')
        name = f"{_job_name(plan)}-{chunk * size}"
        jobs.append(_sent(plan, name, kind, [*options, *array, *wait], script))
    return jobs


def queued(plan: Plan) -> dict[int, Queued] | None:
    """The tasks in Slurm's queue, by number; None where Slurm cannot be asked from here.

    Of a task that is there twice, the one that runs counts.
    """
    layout = "%j|%F|%K|%T|%N|%r"
    try:
        lines = _asked("squeue", "--me", "-hr", "-o", layout).splitlines()
    except UsageError:
        return None
    found: dict[int, Queued] = {}
    for line in lines:
        name, job, index, state, node, reason = line.split("|", 5)
        own, _, offset = name.rpartition("-")
        if own != _job_name(plan) or not offset.isdecimal() or not index.isdecimal():
            continue
        number, one = int(offset) + int(index), Queued(f"{job}_{index}", state, node, reason)
        if number not in found or one.runs:
            found[number] = one
    return found


def last_ends(plan: Plan) -> dict[int, Ended]:
    """How the last job of each task ended, of those that Slurm has not forgotten.

    Raises `UsageError` where Slurm cannot be asked.
    """
    found: dict[int, Ended] = {}
    for line in _asked("scontrol", "show", "job", "-o").splitlines():
        facts = dict(word.partition("=")[::2] for word in line.split())
        own, _, offset = facts.get("JobName", "").rpartition("-")
        index, status = facts.get("ArrayTaskId", ""), facts.get("ExitCode", "")
        ended = facts.get("JobState") not in (*WITH_A_NODE, "PENDING")
        if own != _job_name(plan) or not ended or not (offset + index).isdecimal():
            continue
        code, _, number = status.partition(":")
        one = Ended(f"{facts['ArrayJobId']}_{index}", facts.get("NodeList", "?"), code, number)
        found[int(offset) + int(index)] = one
    return found


def cancel(plan: Plan) -> int:
    """End every job of a run; returns the number of its tasks that were in the queue.

    Raises `UsageError` where Slurm cannot be asked.
    """
    lines = _asked("squeue", "--me", "-hr", "-o", "%j|%F").splitlines()
    own = [line.split("|") for line in lines if line.startswith(f"{_job_name(plan)}-")]
    if own:
        _asked("scancel", *sorted({job for _, job in own}))
    return sum(not name.endswith(_PRETRAIN) for name, _ in own)


def ranges(indices: Iterable[int]) -> str:
    """Return indices as Slurm writes them: "0-2,5"."""
    parts: list[list[int]] = []
    for index in sorted(indices):
        if parts and index == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], index]
        else:
            parts.append([index])
    return ",".join("-".join(map(str, part)) for part in parts)


def _sent_pretraining(
    folder: RunFolder, plan: Plan, kind: str | None, options: Sequence[str]
) -> list[str]:
    """Send a job of one that makes missing weights; returns what lets an array wait for its end.

    The array waits until it ended, well or not: a block then makes what is missing itself.
    """
    log = f"--output={_escaped(folder.logs)}/pretrain-%j.log"
    script = _script(folder, plan, _PRETRAIN)
    job = _sent(plan, f"{_job_name(plan)}-{_PRETRAIN}", kind, [*options, log], script)
    return [f"--dependency=afterany:{job}"]


def _sent(plan: Plan, name: str, kind: str | None, options: Sequence[str], script: str) -> str:
    """Send one job or array; returns its number."""
    own = [
        f"--job-name={name}",
        f"--chdir={plan.directory}",
        f"--nodes={1 if name.endswith(_PRETRAIN) else plan.nodes}",
        "--exclusive",
        "--requeue",
        "--open-mode=append",
        "--parsable",
        *([] if kind is None else [f"--constraint={kind}"]),
    ]
    said = _asked("sbatch", *options, *own, given=script)
    return said.strip().partition(";")[0]


def _script(folder: RunFolder, plan: Plan, what: str) -> str:
    """The script of a job, which becomes the process of its block."""
    command = [plan.python, "-m", "energybench"]
    if plan.nodes * plan.ranks > 1 and what != _PRETRAIN:
        launcher = [
            "srun", f"--nodes={plan.nodes}", "--ntasks-per-node=1",
            plan.python, "-m", "torch.distributed.run", f"--nnodes={plan.nodes}",
            f"--nproc-per-node={plan.ranks}", "--rdzv-backend=c10d", "--rdzv-id=$SLURM_JOB_ID",
            "--rdzv-endpoint=$(hostname):29500", "-m", "energybench",
        ]  # fmt: skip
        command = launcher
    words = " ".join(one if one.startswith("--rdzv") else shlex.quote(one) for one in command)
    plan_path = shlex.quote(str(folder.plan_path))
    return (
        "#!/bin/sh\n"
        f"[ -r {plan_path} ] || exit {UNSHARED}\n"
        f"exec {words} run-block {shlex.quote(str(folder))} {what}\n"
    )


def _escaped(path: object) -> str:
    """A path in which sbatch replaces nothing."""
    return str(path).replace("%", "%%")


def _job_name(plan: Plan) -> str:
    return f"energybench-{plan.id}"


def _most_in_an_array() -> int:
    for line in _asked("scontrol", "show", "config").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdecimal():
            return max(1, int(value))
    return DEFAULT_ARRAY


def _asked(command: str, *arguments: str, given: str | None = None) -> str:
    """The output of one of Slurm's commands; raises `UsageError` with its own last line."""
    try:
        done = subprocess.run(
            [command, *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            env=_environment(),
        )
    except FileNotFoundError:
        raise UsageError(
            f"there is no {command} on this machine; submit from a login node of a Slurm cluster"
        ) from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"Slurm did not answer within {LIMIT_S:.0f} s ({command}); try again later"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        reason = lines[-1].removeprefix(f"{command}: ").removeprefix("error: ")
        raise UsageError(f"Slurm refuses ({command}): {reason}; see --slurm and --kinds")
    return done.stdout


def _environment() -> dict[str, str]:
    """This process's environment, without what would change the options of sbatch."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SBATCH_")}
