"""Runs one part: its steps one after the other, in the time that it has."""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from benchmarks.gpu import progress
from benchmarks.gpu.collecting import collect, files_of
from benchmarks.gpu.needs import missing_for
from benchmarks.gpu.parts import ROOT, Part, Place, Step

GRACE_S = 20.0
"""Seconds that a session has to keep its cell and end, before it is killed."""
SPARE_S = 15.0
"""Seconds between the last cell's planned end and the end of the session's time."""
NOT_BEGUN = "no time was left to begin it; the next run does"
_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ENDED_WELL = (0, 1, 5)
"""Exit statuses of pytest: passed, some failed, nothing left to run."""


class Stopped(BaseException):
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True)
class Outcome:
    """What became of one part."""

    left: int
    """Tests that the next run has to make up for, and steps that it has to begin."""
    failed: tuple[str, ...]
    """Tests that failed, each with its reason in one line."""
    troubles: tuple[str, ...]
    """A line per step that ended badly."""
    left_out: tuple[str, ...]
    """A line per step that cannot run on this machine."""


def run_part(
    part: Part, place: Place, folder: Path, seconds: float, say: Callable[[str], None] = print
) -> Outcome:
    """Run the steps of `part` that fit into `seconds`, and write its JSON into `folder`.

    The JSON is written after every step, and also where a signal ends this process; then `Stopped`
    is raised. What an earlier run has finished is not repeated.
    """
    end = time.monotonic() + seconds
    files = files_of(part, folder)
    folder.mkdir(parents=True, exist_ok=True)
    place.scratch.mkdir(parents=True, exist_ok=True)
    troubles = []
    try:
        for step in part.steps(place):
            why = missing_for(step)
            if why is not None:
                progress.append(files["tests"], {"step": step.name, "why_left_out": why})
                say(f"part {part.label}: {step.name} is left out: {why}")
                continue
            if end - time.monotonic() < GRACE_S + SPARE_S:
                if step.module is None and step.name not in progress.read(files["tests"]).collected:
                    progress.append(files["tests"], {"step": step.name, "why_left_out": NOT_BEGUN})
                continue
            status = _run(step, files, end, place)
            if status is None:
                say(f"part {part.label}: {step.name} was stopped: its time was over")
            elif not _ended_well(step, status):
                line = f"{step.name} ended with the exit status {status}; see {files['log']}"
                troubles.append(f"part {part.label}: {line}")
                say(troubles[-1])
            collect(part, folder)
    finally:
        found = collect(part, folder)
    left, asked = len(found.left), len(found.asked_for)
    more = f", {left} left for the next run" if left else ""
    say(f"part {part.label}: {asked - left} of {asked} tests finished{more}; {files['json']}")
    left_out = {step: why for step, why in found.left_out.items() if why != NOT_BEGUN}
    not_begun = len(found.left_out) - len(left_out)
    if not_begun:
        say(f"part {part.label}: {not_begun} steps were not begun; the next run begins them")
    lacking = tuple(f"{step}: {why}" for step, why in left_out.items())
    return Outcome(left + not_begun, tuple(found.failed), tuple(troubles), lacking)


def _run(step: Step, files: dict[str, Path], end: float, place: Place) -> int | None:
    """Run one step until `end` at the latest; return its exit status, None if it was stopped."""
    command = _command(step, files, end - time.monotonic() - GRACE_S)
    with files["log"].open("a", encoding="utf-8") as log:
        log.write(f"\n$ {shlex.join(command)}\n")
        log.flush()
        with _signals_raised():
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | place.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
            try:
                return process.wait(max(1.0, end - time.monotonic() - GRACE_S))
            except subprocess.TimeoutExpired:
                _end(process)
                return None
            except Stopped:
                _end(process)
                raise


def _ended_well(step: Step, status: int) -> bool:
    return status == 0 or (step.module is None and status in _ENDED_WELL)


def _command(step: Step, files: dict[str, Path], seconds: float) -> list[str]:
    if step.module is not None:
        return [sys.executable, "-m", step.module, *step.arguments]
    plugins = ["benchmarks.gpu.pacing"]
    if not entry_points(group="pytest11", name="energybench"):  # a clone that is not installed
        plugins.append("energybench.app.plugin")
    return [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rA"),
        *(part for name in plugins for part in ("-p", name)),
        *(f"--gpu-progress={files['tests']}", f"--gpu-step={step.name}"),
        *(f"--gpu-seconds={max(0.0, seconds - SPARE_S):.0f}", f"--benchmark-json={os.devnull}"),
        *(f"--energy-journal={files['cells']}", "--energy-resume"),
        *step.arguments,
    ]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a session to keep what it has and end; kill it and its own processes if it stays."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_with_parent() -> None:
    """Let Linux end this new process when the runner is killed, so that none measures unseen."""
    with suppress(AttributeError, OSError, TypeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Raise `Stopped` at the first signal that asks this process to end; pass over more."""

    def stop(number: int, frame: object) -> None:
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
