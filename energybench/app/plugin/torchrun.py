"""pytest under a launcher such as torchrun or Slurm: one session per rank, the same cells on all.

Rank 0 writes the journal, the JSON and the terminal. Once cells begin, the other ranks print errors
only.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from energybench import interruption
from energybench.app.plugin.hangup import leave, terminals
from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.app.plugin.options import Options
    from energybench.records.journal import Journal

SAVING = ("json", "save", "autosave")
"""Attributes of pytest-benchmark's session that name what it writes at its end."""
_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""The signal of a terminal that has gone; None on Windows."""


def rank() -> int | None:
    """Return this process's rank under a launcher; None without a launcher.

    Other programs may use these variables for something else than numbers.
    """
    size, own = os.environ.get("WORLD_SIZE", ""), os.environ.get("RANK", "")
    return int(own) if size.isdecimal() and own.isdecimal() and int(size) > 1 else None


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the session with its JSON, table and journal.

    Launchers send signals to all ranks. Ranks other than 0 ignore them, so that rank 0, which may
    be waiting for their GPUs, can finish and write. SIGHUP stays ignored under `nohup`.
    """
    shown_on = terminals()

    def interrupt(number: int, frame: object) -> None:
        if number == _HANGUP:
            leave(shown_on)
        interruption.interrupt(signal.Signals(number).name)

    ends: list[signal.Signals] = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        ends.append(signal.SIGINT)
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        ends.append(_HANGUP)
    wanted: dict[signal.Signals, Any] = dict.fromkeys(ends, interrupt)
    if rank():
        wanted = dict.fromkeys((signal.SIGINT, *ends), signal.SIG_IGN)
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        with interruption.remembered():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finish_writing() -> None:
    """Ignore from here on that a launcher ends all ranks once one of them has failed.

    Rank 0 may still write what all of them have measured. Without a launcher nothing changes.
    """
    if rank() is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def leave_to_rank_0(config: pytest.Config) -> None:
    """Let a session of another rank than 0 write nothing from here on: no terminal, JSON or XML.

    Only sessions with cells come here. A foreign suite keeps what all its ranks write.
    """
    if not rank():
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()  # it would bring the present output back
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    if capture is not None:
        capture.start_global_capturing()
        capture.suspend_global_capture()
    write_no_files(config)


def write_no_files(config: pytest.Config) -> None:
    """Let a session write neither JSON nor XML at its end."""
    saving = getattr(config, "_benchmarksession", None)
    for name in SAVING:
        if hasattr(saving, name):
            setattr(saving, name, None)
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "LogXML":
            config.pluginmanager.unregister(plugin)


def journal(path: Path) -> "Journal":
    """Return the session's journal; on ranks other than the first, one without any file."""
    from energybench.records.journal import Contents, Entry, Event, Journal

    class Unkept(Journal):
        def append(self, entry: Entry | Event) -> None:
            """Keep nothing."""

        def check(self) -> None:
            """Accept any place."""

        def read(self, known: Contents | None = None) -> Contents:
            """Return no cell."""
            return Contents((), ())

    return Unkept(path) if rank() else Journal(path)


def executor_name(options: "Options") -> str:
    """Choose the executor: the named one, a launcher's ranks, ranks to start, or this process.

    Raises `UsageError` for options that contradict each other.
    """
    several = rank() is not None
    if options.checkpoint and (several or options.world_size > 1):
        raise UsageError("--energy-checkpoint is for one process; leave it out with several ranks")
    if options.executor != "auto":
        return options.executor
    if several:
        return "launched"
    return "ranks" if options.world_size > 1 else "in-process"
