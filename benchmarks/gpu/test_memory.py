"""Many cells in one process, no memory left, and a program of someone else's.

    python -m benchmarks.gpu --part 6

Goal: after the last cell no more memory of the GPU is in use than after the twentieth.
"""

import gc
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from energybench.config import Cell

GROWTH = 0.05
"""Largest growth of the host's memory, as a share; that of the GPU may not grow at all."""
FREE = 2**24
"""Bytes that are left free where a GPU's memory runs out."""
FREE_ON_CPU = 2**26
"""The same on a CPU: too few for a network, enough for threads, each of which takes 8 MiB.

CPython 3.11 waits for ever for a thread that has no memory left to say that it began."""
UNUSED_SEED = 10_000
"""No cell of the matrix has it."""
FOREIGN = Path(__file__).with_name("foreign.py")


@pytest.fixture(scope="module")
def after_cells():
    """Return a list: the bytes in use after each cell, on the device and on the host."""
    return []


def test_out_of_memory_fails_its_cell(energy_cell, device, check):
    """Take nearly all memory and run a cell."""
    told = "the cell ran"
    with no_memory(device):
        try:
            energy_cell(Cell("resnet18", "baseline", UNUSED_SEED))
        except pytest.fail.Exception as error:
            told = str(error)
    gc.collect()
    check("a cell without memory", told, "out of memory" in told, "out of memory")


def test_the_next_cell_runs(energy_cell, device, after_cells, check):
    """Run a cell once the memory is given back."""
    try:
        energy_cell(Cell("resnet18", "baseline", UNUSED_SEED + 1))
        told = "it ran"
    except pytest.fail.Exception as error:
        told = str(error)
    after_cells.append(in_use(device))
    check("a cell once there is memory again", told, told == "it ran", "it runs")


def in_use(device):
    """Return the bytes in use on the device, by PyTorch, and on the host."""
    import psutil
    import torch

    gc.collect()
    allocated = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    return allocated, psutil.Process().memory_info().rss


@contextmanager
def no_memory(device):
    """Take all memory but `FREE` of a GPU, or `FREE_ON_CPU` of what this process may have."""
    import torch

    if device.type == "cpu":
        before = resource.getrlimit(resource.RLIMIT_AS)
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + FREE_ON_CPU, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
        return
    taken, size = [], 2**33
    torch.cuda.empty_cache()
    while size >= FREE:
        try:
            taken.append(torch.empty(size, dtype=torch.uint8, device=device))
        except torch.OutOfMemoryError:
            size //= 2
    try:
        yield
    finally:
        taken.clear()
        torch.cuda.empty_cache()


def test_a_foreign_program_is_seen(energy_session, device, check):
    """Flag a window `contaminated` in which a program that is not ours computes on the device."""
    import torch

    side = 4096 if device.type == "cuda" else 512
    one = torch.randn(side, side, device=device)

    def window():
        with energy_session.window(states=True) as found:
            end = time.perf_counter() + 2.0
            while time.perf_counter() < end:
                one @ one
                energy_session.synchronize()
        return found.reading.flags

    alone = window()
    with foreign_program():
        together = window()
    check("flags beside no other program", ", ".join(alone) or "none")
    told = ", ".join(together) or "none"
    check("flags beside a foreign program", told, "contaminated" in together, "contaminated")


@contextmanager
def foreign_program():
    """Run `foreign.py` as no child of this process's, until the block ends."""
    command = [sys.executable, str(FOREIGN)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(done.stdout.split()[0]), signal.SIGKILL)


@pytest.mark.energy_matrix(models=["resnet18"], methods=["baseline"])
def test_many_cells(cell, energy_cell, device, after_cells):
    """Run a cell and note the memory that it leaves in use."""
    energy_cell(cell)
    after_cells.append(in_use(device))


def test_memory_stays_flat(after_cells, check):
    """Compare the memory after the last cell with that after an early one."""
    if len(after_cells) < 2:
        pytest.skip("fewer than two cells ran in this session")
    first = after_cells[min(20, len(after_cells) // 3)]
    last = after_cells[-1]
    told = f"{last[0] - first[0]:+d} bytes over {len(after_cells)} cells"
    check("memory of the GPU in use", told, last[0] <= first[0], "no more", cells=len(after_cells))
    told = f"{100 * (last[1] / first[1] - 1):+.1f} %"
    enough = len(after_cells) >= 100  # the first cells of a process still import
    held = last[1] <= (1 + GROWTH) * first[1] if enough else None
    check("memory of the host in use", told, held, f"at most +{100 * GROWTH:g} %" if enough else "")
