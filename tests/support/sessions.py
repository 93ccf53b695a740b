"""Pytest sessions in processes of their own, forked from one that has imported PyTorch.

A new Python spends seconds on imports, and the suite starts hundreds of sessions. What such a
session sees is else the same: its own process, working directory, environment, files and signals.
"""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import IO, Any

import pytest

from energybench.app.cli.main import main
from support.waiting import wait_until

ROOT = str(Path(__file__).parents[2])
"""The clone. In its sessions' path pytest would find energybench a second time."""
LONGEST_S = 240.0
"""Seconds after which a session that has not ended is killed, and its test fails."""


class ForkedSession:
    """`python -m pytest ARGUMENTS`, with the members of `subprocess.Popen` that tests need.

    Another `module` than pytest is `energybench`.
    """

    stdin = None

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        stdout: IO[Any] | None = None,
        stderr: IO[Any] | None = None,
        module: str = "pytest",
    ) -> None:
        """Start in `folder`; without files, `communicate` returns the output."""
        self._kept = None if stdout else tempfile.NamedTemporaryFile()  # noqa: SIM115
        out = stdout or self._kept
        assert out is not None
        paths = [_path(file) for file in (out, stderr or out)]
        environment = dict(os.environ)
        self._process = preloaded_context().Process(
            target=_run, args=(module, str(folder), tuple(arguments), environment, *paths)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """The id of the session's process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return `returncode`."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; kill it and raise `subprocess.TimeoutExpired` where that is too long.

        Without `timeout` it may take `LONGEST_S`.
        """
        limit = LONGEST_S if timeout is None else timeout
        self._process.join(limit)
        code = self._process.exitcode
        if code is None:
            self.kill()
            raise subprocess.TimeoutExpired("pytest", limit, self.output())
        return code

    def wait_until(self, condition: Callable[[], object], pause_s: float = 0.02) -> None:
        """Wait until `condition()` is true or the session has ended; kill it after `LONGEST_S`."""
        try:
            wait_until(lambda: condition() or self.poll() is not None, LONGEST_S, pause_s)
        except AssertionError as error:
            self.kill()
            raise subprocess.TimeoutExpired("pytest", LONGEST_S, self.output()) from error

    def send_signal(self, number: int) -> None:
        """Send a signal to the session's process."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the session's process."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Wait for its end, and return its output."""
        self.wait(timeout)
        return self.output(), None

    def output(self) -> str:
        """Return what it has written so far."""
        return Path(self._kept.name).read_text() if self._kept else ""


def popen(
    command: Sequence[str], stdout: IO[Any], stderr: IO[Any], **_: object
) -> "ForkedSession | subprocess.Popen[bytes]":
    """Do what `pytest.Pytester.popen` does, and fork where the command is pytest."""
    python, module, *arguments = command
    if (python, module) == (sys.executable, "-mpytest"):
        return ForkedSession(Path.cwd(), arguments, stdout, stderr)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)


def _path(file: IO[Any]) -> str:
    return os.path.abspath(file.name)


def preloaded_context() -> ForkServerContext:
    """Return the context whose processes are forked from one that has imported PyTorch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.preloaded"])
    with pytest.MonkeyPatch.context() as patch:  # what the server reads once, as it starts
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        patch.chdir("/")  # it stays there, and works in no test's folder
        forkserver.ensure_running()
    return context


def command(folder: Path, *arguments: str, timeout: float = 120.0) -> tuple[int, str]:
    """Run `energybench ARGUMENTS` in a process of its own: its exit status and output."""
    process = ForkedSession(folder, arguments, module="energybench")
    output, _ = process.communicate(timeout)
    assert process.returncode is not None
    return process.returncode, output


def _run(
    module: str,
    folder: str,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    out: str,
    err: str,
) -> None:
    """Do what `python -m MODULE` does in a process that just starts."""
    sys.stdin.close()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    sys.stdin = os.fdopen(0)
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the suite itself may run under nohup
    own = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = ["", *own, *(path for path in sys.path if path not in (*own, ROOT))]
    sys.argv = [module, *arguments]
    multiprocessing.set_start_method(None, force=True)  # the platform's own, not forkserver's
    try:
        code = int(pytest.console_main() if module == "pytest" else main(arguments))
    except SystemExit as error:  # argparse's
        code = error.code if isinstance(error.code, int) else 1
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
