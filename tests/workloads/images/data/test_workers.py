"""No worker outlives the process that started it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from energybench.config import DataConfig
from energybench.progress import Progress
from energybench.workloads.images.data import folders, pixel_cache
from energybench.workloads.images.data.folders import open_folder
from energybench.workloads.images.data.workers import _end_with

Tree = Callable[..., Path]
METHODS = ("fork", "forkserver", "spawn")
WITHOUT_LINUX = str(Path(__file__).parents[3] / "support" / "without_linux")
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


@pytest.mark.parametrize(
    ("start_method", "system"),
    [("fork", "linux"), ("forkserver", "linux"), ("spawn", "linux"), ("fork", "another")],
)
def test_a_worker_whose_starter_is_killed_ends_at_once(
    tmp_path: Path, start_method: str, system: str
) -> None:
    script = tmp_path / "loads.py"  # a file: workers that are not forked import it
    script.write_text(WORKER)
    command = [sys.executable, str(script), start_method]
    environment = dict(os.environ)
    if system == "another":
        environment["PYTHONPATH"] = os.pathsep.join([WITHOUT_LINUX, *sys.path])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        worker = psutil.Process(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        process.wait()
        worker.wait(timeout=30)  # PyTorch's own look would come a minute later, with its image


def test_one_whose_starter_died_before_it_looked_ends_at_once() -> None:
    child = os.fork()  # `multiprocessing` knows no parent of it that is alive
    if child == 0:
        _end_with(0, 0)  # another parent than the one that it has
        time.sleep(60)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1


@pytest.mark.parametrize("start_method", METHODS)
def test_image_folders_are_decoded_and_read_under_every_start_method(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_method: str
) -> None:
    root = tree(train=20, val=2)
    for module, cores in ((folders, 2), (pixel_cache, 1)):
        monkeypatch.setattr(module, "usable_cores", lambda cores=cores: cores)
    monkeypatch.setattr(pixel_cache, "_ALONE", 0)
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(start_method, force=True)
    multiprocessing.set_forkserver_preload(["torch"])  # else each worker imports it
    try:
        for cache in (str(tmp_path / "cache"), "off"):
            config = DataConfig(cache)
            data = open_folder(str(root)).prepare_sizes(
                [32], torch.device("cpu"), config, Progress(None), lambda line: None
            )
            batches = data.batches("train", 32, 12, 0)
            assert [len(labels) for _, labels in batches] == [12, 12, 12]
            assert getattr(batches, "num_workers", None) == (1 if cache == "off" else None)
    finally:
        multiprocessing.set_start_method(before, force=True)
