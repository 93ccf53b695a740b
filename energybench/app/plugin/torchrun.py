"""pytest started several times over, by torchrun or Slurm: its ranks run the same cells together.

The first writes journal, JSON and terminal. The others compute, and say nothing but errors.
"""

import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from energybench.errors import UsageError

if TYPE_CHECKING:
    from energybench.app.plugin.options import Options
    from energybench.progress import Progress
    from energybench.records.journal import Journal
    from energybench.runs.bench import Bench

WRITING = ("benchmark_json", "benchmark_save", "benchmark_autosave", "xmlpath")
"""Options by which a session writes a file."""


def rank() -> int | None:
    """Which of several processes this is; None for one on its own."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return int(os.environ["RANK"]) if several and "RANK" in os.environ else None


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends the session as Ctrl-C does: with its JSON, its table and its journal.

    Launchers send either to all ranks. Those that have nothing to write go on until the first one
    has written: it cannot hear while it waits for another's GPU.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    wanted: dict[signal.Signals, Any] = {signal.SIGTERM: interrupt}
    if rank():
        wanted = dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.SIG_IGN)
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """Take standard output away from all ranks but the first, before anybody keeps hold of it."""
    if rank():
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let only the first rank write files."""
    if not rank():
        return
    for name in WRITING:
        if hasattr(config.option, name):
            setattr(config.option, name, None)


def journal(path: Path) -> "Journal":
    """The session's journal; on ranks other than the first, one that is neither kept nor read."""
    from energybench.records.journal import Contents, Entry, Journal

    class Unkept(Journal):
        def append(self, entry: Entry) -> None:
            """Keep nothing."""

        def read(self) -> Contents:
            """No cell."""
            return Contents((), ())

    return Unkept(path) if rank() else Journal(path)


def open_run(options: "Options", terminal: TextIO | None, progress: "Progress") -> "Bench":
    """Open what was asked for: one process, ranks of our own, or one of somebody else's."""
    several = rank() is not None
    if several and options.world_size > 1:
        raise UsageError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} is set: ranks are started already; "
            "leave out --energy-world-size"
        )
    if options.checkpoint and (several or options.world_size > 1):
        raise UsageError("--energy-checkpoint is for one process; leave it out with several ranks")
    if several:
        from energybench.runs.opening import open_ranks

        return open_ranks(options.run, progress)
    if options.world_size > 1:
        from energybench.runs.executors.remote import open_remote

        path = None if terminal is None else os.ttyname(terminal.fileno())
        return open_remote(options.run, options.world_size, progress, path)
    from energybench.runs.opening import open_bench

    return open_bench(options.run, progress)
