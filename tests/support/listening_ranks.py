"""Ranks that say where they listen, and nothing else."""

import sys
from multiprocessing.connection import Connection

import psutil
import torch

from energybench.training.distributed.ranks import join


def listens() -> list[str]:
    """Addresses at which this process listens."""
    sockets = psutil.Process().net_connections()
    return [one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN]


def main() -> None:
    """Answer the first order with what all ranks listen to."""
    connection = Connection(int(sys.argv[1]))
    connection.recv()
    ranks = join(lambda local_rank, local_size: torch.device("cpu"))
    ranks.barrier()
    connection.send(("answer", ranks.all_gather(listens())))
    connection.recv()
