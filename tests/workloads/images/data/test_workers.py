"""No worker outlives the process that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from energybench.workloads.images.data.workers import _end_with

WORKER = """
import os
import sys
import time
from torch.utils.data import DataLoader, Dataset
from energybench.workloads.images.data.workers import ending_with_this_process


class Slow(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        print(os.getpid(), flush=True)
        time.sleep(60)


if __name__ == "__main__":
    loader = DataLoader(
        Slow(),
        num_workers=1,
        worker_init_fn=ending_with_this_process(),
        multiprocessing_context=sys.argv[1],
    )
    list(loader)
"""


@pytest.mark.parametrize("start_method", ["fork", "forkserver", "spawn"])
def test_a_worker_whose_starter_is_killed_ends_at_once(tmp_path: Path, start_method: str) -> None:
    script = tmp_path / "loads.py"  # a file: workers that are not forked import it
    script.write_text(WORKER)
    command = [sys.executable, str(script), start_method]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = psutil.Process(int(process.stdout.readline()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    worker.wait(timeout=30)  # PyTorch's own look would come after a minute, when it has its image


def test_one_whose_starter_died_before_it_looked_ends_at_once() -> None:
    child = os.fork()  # `multiprocessing` knows no parent of it that is alive
    if child == 0:
        _end_with(0, 0)  # another parent than the one that it has
        time.sleep(60)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
