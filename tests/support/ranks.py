"""Functions run by several ranks at once, in processes of their own."""

import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from energybench.runs.executors.processes import LOOPBACK, store_of_this_machine
from energybench.training.distributed.ranks import Ranks, join
from support.sessions import preloaded_context

LONGEST_S = 120.0


def on_ranks(work: Callable[..., Any], hosts: tuple[str, ...], *arguments: Any) -> list[Any]:
    """`work(ranks, *arguments)` on one rank per host named, by rank; it must be importable."""
    store = store_of_this_machine()
    context = preloaded_context()
    pipes, processes = [], []
    for rank in range(len(hosts)):
        ours, theirs = context.Pipe()
        processes.append(
            context.Process(
                target=_rank, args=(theirs, store.port, rank, hosts, work, arguments), daemon=True
            )
        )
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        answers = [_answer(pipe) for pipe in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()
    for raised, value in answers:
        assert not raised, value
    return [value for _, value in answers]


def _answer(pipe: Connection) -> tuple[bool, Any]:
    if not wait([pipe], LONGEST_S):
        return True, f"no answer within {LONGEST_S:.0f} s"
    try:
        found: tuple[bool, Any] = pipe.recv()
    except EOFError:
        return True, "it died"
    return found


def _rank(
    pipe: Connection,
    port: int,
    rank: int,
    hosts: tuple[str, ...],
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    import os

    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(len(hosts)),
        MASTER_ADDR=LOOPBACK,
        MASTER_PORT=str(port),
        TORCHELASTIC_USE_AGENT_STORE="True",
    )
    try:
        ranks = join(lambda local_rank, local_size: torch.device("cpu"), hosts[rank])
        assert isinstance(ranks, Ranks)
        pipe.send((False, work(ranks, *arguments)))
        pipe.recv()  # EOF: the others may need this process
    except EOFError:
        pass
    except BaseException:
        pipe.send((True, traceback.format_exc()))
