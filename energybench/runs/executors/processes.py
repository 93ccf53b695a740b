"""Processes for the ranks on this machine: start, order, end. The death of one ends all.

The ranks get the environment that torchrun gives its workers. torchrun itself is not used, because
the agent of torchrun polls, and waits half a minute for a worker that does not end.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import IO, Any

import psutil
import torch.distributed as dist

from energybench.errors import CellError, UsageError

LOOPBACK = "127.0.0.1"
GRACE_S = 8.0
"""Seconds in which rank 0 can still report its measurements after a death or an interruption."""


class RankDied(CellError):
    """A rank has ended, and the others with it; the message names the rank and the reason."""


class Workers:
    """`size` processes that run `main()` of `module`, one per rank, until `close`.

    Each process is given the file descriptor of a connection. It receives orders there, and sends
    pairs: ("said", line) for `say`, ("answer", value), ("refused", message) and, before it ends,
    ("failed", message).
    """

    def __init__(
        self, module: str, size: int, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self._say = say
        self.rescued: Any = None
        """Answer of rank 0 after the death of another rank or an interruption; else None."""
        self.alive = True
        self._said: SimpleQueue[tuple[int, str, Any]] = SimpleQueue()
        self._connections: list[Connection] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._outputs: list[IO[bytes]] = []
        self._store = store_of_this_machine()
        try:
            for rank in range(size):
                self._start(module, rank, size)
        except BaseException:
            self.close()
            raise

    def ask(self, order: Any) -> Any:
        """Send `order` to every rank and return rank 0's answer; sleep meanwhile.

        Raises `UsageError` if a rank refuses and `RankDied` if a rank ends. After these, and after
        an interruption, no rank is left, and `rescued` has the last answer of rank 0.
        """
        try:
            for connection in self._connections:
                with suppress(OSError):  # the rank is dead, and `_watch` will say so
                    connection.send(order)
            return self._answer()
        except (CellError, UsageError):
            raise
        except BaseException:
            self._processes[0].send_signal(signal.SIGINT)
            self.rescued = self._last_answer()
            self.close()
            raise

    def close(self) -> None:
        """Kill every rank."""
        self.alive = False
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        for connection in self._connections:
            connection.close()
        for output in self._outputs:
            output.close()

    def _start(self, module: str, rank: int, size: int) -> None:
        ours, theirs = socket.socketpair()
        environment = os.environ | {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size),
            "MASTER_ADDR": LOOPBACK,
            "GLOO_SOCKET_IFNAME": _loopback(),
            "NCCL_SOCKET_IFNAME": _loopback(),
            "MASTER_PORT": str(self._store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",  # this process opened the store
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
        }
        output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the rank lives
        self._outputs.append(output)
        run = f"import {module}; {module}.main()"
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", run, str(theirs.fileno())],  # see `_last_line`
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only this process, which tells rank 0
        )
        theirs.close()
        connection = Connection(ours.detach())
        self._processes.append(process)
        self._connections.append(connection)
        threading.Thread(target=self._listen, args=(rank, connection), daemon=True).start()
        threading.Thread(target=self._watch, args=(rank, process), daemon=True).start()

    def _listen(self, rank: int, connection: Connection) -> None:
        with suppress(EOFError, OSError):
            while True:
                kind, value = connection.recv()
                self._said.put((rank, kind, value))

    def _watch(self, rank: int, process: "subprocess.Popen[bytes]") -> None:
        code = process.wait()
        self._said.put((rank, "ended", code))

    def _answer(self) -> Any:
        words: dict[int, str] = {}
        while True:
            rank, kind, value = self._said.get()
            if kind == "said":
                self._say(value)
            elif kind == "failed":
                words[rank] = value
            elif kind == "ended":
                self.rescued = self._last_answer()
                error = words.get(rank) or f"rank {rank}: {_how(value)}{self._last_line(rank)}"
                self.close()
                raise RankDied(error)
            elif kind == "refused":
                self.close()
                raise UsageError(value)
            elif rank == 0:
                return value

    def _last_answer(self) -> Any:
        """Return the answer that rank 0 gives within `GRACE_S`, or None."""
        end = time.monotonic() + GRACE_S
        with suppress(Empty):
            while True:
                rank, kind, value = self._said.get(timeout=max(0.0, end - time.monotonic()))
                if rank == 0 and kind in ("answer", "ended"):
                    return value if kind == "answer" else None
        return None

    def _last_line(self, rank: int) -> str:
        """Return the last line of the rank's output in parentheses: the message of Python or CUDA.

        Ranks run without warnings, since a warning on the last line would look like the cause.
        """
        output = self._outputs[rank]
        output.seek(0)
        lines = output.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" ({last})" if last else ""


def store_of_this_machine() -> dist.TCPStore:  # type: ignore[name-defined]
    """Make the store in which ranks find each other, on the loopback interface.

    By default PyTorch's store listens on every interface.
    """
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        return dist.TCPStore(  # type: ignore[attr-defined]
            LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=server.detach()
        )


def _loopback() -> str:
    """Name the network interface that other machines do not reach."""
    return next(
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(one.address == LOOPBACK for one in addresses)
    )


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    return f"killed by {signal.Signals(-code).name}"
