"""The largest batch that fits the device's memory, found before any measurement."""

import ctypes
import gc
import itertools
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch

from energybench.compression.base import Baseline
from energybench.errors import CellError
from energybench.runs.session import Session
from energybench.training.evaluate import evaluate, evaluated_at_once
from energybench.training.failures import is_out_of_memory
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.passes import sgd, train_pass
from energybench.training.plan import Finetuning
from energybench.workloads.base import PretrainedTask

SMALLEST, LARGEST = 2, 4096
SHARE = 0.9
"""Share of the free memory that a batch may take: methods and allocators differ."""
SPARE_COPIES = 2
"""Copies of the weights held beside the trial: the best epoch's, and the method's own.

A CPU's memory also holds those of epoch 0, see `runs.epoch_zero`."""
STEPS = 2
"""Training steps per trial; the first one allocates the optimizer's buffers."""

_CGROUP = Path("/sys/fs/cgroup")
_PROCESS = Path("/proc/self")


def largest_batch(session: Session, model: str) -> int:
    """Find the largest batch of `model`, in items.

    The result is a power of two, at most `LARGEST` and the size of the training split. At that size
    the uncompressed model takes training steps, and evaluates the larger batches of evaluation,
    within `SHARE` of the free memory. Raises `CellError` if not even `SMALLEST` items fit.
    """
    task = session.task(model)
    most = min(LARGEST, len(task.batches("train", 1, seed=0)))
    powers = itertools.takewhile(lambda n: n <= most, (SMALLEST << n for n in itertools.count()))
    sizes = list(powers)
    session.pretrained(model)
    fits = _fits_cuda if session.device.type == "cuda" else _HostMemory().fits
    largest = None
    with session.progress.bar(f"largest batch of {model}", len(sizes)) as step:
        for size in sizes:
            if not fits(partial(_train, session, task, size)):
                break
            largest = size
            step(str(size))
    if largest is None:
        raise CellError(
            f"{model}: not even a batch of {SMALLEST} fits into the free memory of "
            f"{session.device}; end other programs there, or use another device"
        )
    return largest


def _train(session: Session, task: PretrainedTask, size: int) -> None:
    """Train a fresh network for `STEPS` steps and evaluate one batch, all on noise."""
    config, device = session.config, session.device
    network, _ = task.weights.load(device)
    lay_out(network.parameters(), memory_format(config.memory_format, config.precision, device))
    batch = task.synthetic(size, device)
    copies = SPARE_COPIES + (device.type == "cpu")
    spare = [[one.detach().clone() for one in network.parameters()] for _ in range(copies)]
    run = Finetuning(
        task=task,
        train=[batch] * STEPS,
        validation=[],
        config=replace(config.finetune, learning_rate=0.0),
        seed=0,
        device=device,
        precision=config.precision,
        window=partial(session.meters.window, session.synchronize),
        watch=lambda epoch: None,
    )
    train_pass(network, Baseline(), sgd(network, run.config), run)
    del batch, run
    batch = task.synthetic(evaluated_at_once(device) * size, device)
    evaluate(network, task, [batch], device, config.precision)
    del spare


def _has_room(trial: Callable[[], None]) -> bool:
    """Run `trial` and return whether the memory was enough."""
    try:
        trial()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _fits_cuda(trial: Callable[[], None]) -> bool:
    """Run `trial` and return whether it stays within `SHARE` of the GPU's free memory."""
    device = torch.cuda.current_device()
    torch.cuda.set_per_process_memory_fraction(SHARE * _free_share(device), device)
    try:
        return _has_room(trial)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        gc.collect()
        torch.cuda.empty_cache()


def _free_share(device: int) -> float:
    """Return the share of the GPU's memory that no other process holds."""
    free, total = torch.cuda.mem_get_info(device)
    return (free + torch.cuda.memory_reserved(device)) / total


class _HostMemory:
    """Predictor, from the memory of one batch, of whether a batch of twice the size fits.

    On a host a trial cannot fail safely: the kernel kills a process that takes too much.
    """

    def __init__(self) -> None:
        _return_free_memory()
        self._available = _available_bytes()
        self._before = psutil.Process().memory_info().rss
        self._taken = 0

    def fits(self, trial: Callable[[], None]) -> bool:
        """Run `trial` if twice the memory of the previous one is within `SHARE`."""
        if 2 * self._taken > SHARE * self._available:
            return False
        _forget_peak()
        if not _has_room(trial):
            return False
        self._taken = max(_peak_bytes() - self._before, 0)
        return self._taken <= SHARE * self._available


def _available_bytes() -> int:
    """Return the bytes that this process can still take, in the machine and its control group."""
    free = [psutil.virtual_memory().available]
    with suppress(OSError, ValueError):  # no control group, or no limit ("max")
        limit = int((_CGROUP / "memory.max").read_text())
        free.append(limit - int((_CGROUP / "memory.current").read_text()))
    return min(free)


def _return_free_memory() -> None:
    """Return the allocator's freed memory to the system, so that a batch shows in the peak."""
    with suppress(AttributeError, TypeError):  # the C library is not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> None:
    _return_free_memory()
    with suppress(OSError):  # not Linux
        (_PROCESS / "clear_refs").write_text("5")


def _peak_bytes() -> int:
    """Return the largest resident size since `_forget_peak`, in bytes.

    Systems other than Linux tell the largest since the process started, which is no less.
    """
    try:
        lines = (_PROCESS / "status").read_text().splitlines()
    except OSError:
        return _largest_ever()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024


def _largest_ever() -> int:
    try:
        import resource
    except ImportError:  # Windows
        usage: Any = psutil.Process().memory_info()
        return int(usage.peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
