"""No worker outlives the process that started it."""

import os
import signal
import subprocess
import sys

import psutil

from energybench.workloads.images.data.workers import _end_with

WORKER = """
import os
import time
from torch.utils.data import DataLoader, Dataset
from energybench.workloads.images.data.workers import ending_with_this_process


class Slow(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        print(os.getpid(), flush=True)
        time.sleep(60)


list(DataLoader(Slow(), num_workers=1, worker_init_fn=ending_with_this_process()))
"""


def test_a_worker_whose_parent_is_killed_ends_at_once() -> None:
    process = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = psutil.Process(int(process.stdout.readline()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    worker.wait(timeout=30)  # PyTorch's own look would come after a minute, when it has its image


def test_one_whose_parent_died_before_it_looked_ends_at_once() -> None:
    child = os.fork()
    if child == 0:
        _end_with(0, 0)  # another parent than the one that it has
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
