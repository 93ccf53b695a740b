"""The largest batch that the device's memory holds, found before anything is measured."""

import ctypes
import gc
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import torch

from energybench.compression.base import Baseline
from energybench.errors import CellError, UsageError
from energybench.runs.bench import Bench
from energybench.training.evaluate import evaluate, evaluated_at_once
from energybench.training.failures import is_out_of_memory
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.passes import sgd, train_pass
from energybench.training.plan import Finetuning
from energybench.workloads.base import PretrainedTask

SMALLEST, LARGEST = 2, 4096
SHARE = 0.9
"""Of the memory that is free, what a batch may take: methods and allocators differ."""
SPARE_COPIES = 2
"""Of the weights, kept beside the trial: those of the best epoch, and a method's own."""
STEPS = 2
"""The first makes the optimizer's buffers."""

_CGROUP = Path("/sys/fs/cgroup")
_PROCESS = Path("/proc/self")


def with_largest_batch(bench: Bench, model: str) -> Bench:
    """`bench` with the batch size that `auto` stands for; as it is where a number was given.

    It is the largest power of two, at most `LARGEST` and the training split, at which the
    uncompressed `model` takes training steps, and answers the larger batches of evaluation, within
    `SHARE` of the free memory. All methods of a model have the same. Raises `CellError` where not
    even `SMALLEST` fits.
    """
    if not bench.config.largest_batch:
        return bench
    if model not in bench.batch_sizes:
        bench.batch_sizes[model] = _search(bench, model)
    finetune = replace(bench.config.finetune, batch_size=bench.batch_sizes[model])
    return replace(bench, config=replace(bench.config, finetune=finetune, largest_batch=False))


def _search(bench: Bench, model: str) -> int:
    most = min(LARGEST, bench.data.split_sizes["train"])
    powers = itertools.takewhile(lambda n: n <= most, (SMALLEST << n for n in itertools.count()))
    sizes = list(powers)
    bench.pretrained(model)
    task = bench.task(model)
    fits = _fits_cuda if bench.device.type == "cuda" else _HostMemory().fits
    largest = None
    with bench.progress.bar(f"largest batch of {model}", len(sizes)) as step:
        for size in sizes:
            if not fits(partial(_train, bench, task, size)):
                break
            largest = size
            step(str(size))
    if largest is None:
        raise CellError(
            f"{model}: not even {SMALLEST} images fit into the free memory of {bench.device}; "
            "end other programs there, or use another device"
        )
    return largest


def _train(bench: Bench, task: PretrainedTask, size: int) -> None:
    """Take a few training steps of a network of its own, and evaluate one batch; all on noise."""
    config, device = bench.config, bench.device
    network, _ = task.weights.load(device)
    lay_out(network.parameters(), memory_format(config.memory_format, config.precision, device))
    batch = task.synthetic(size, device)
    spare = [[one.detach().clone() for one in network.parameters()] for _ in range(SPARE_COPIES)]
    run = Finetuning(
        task=task,
        train=[batch] * STEPS,
        validation=[],
        config=replace(config.finetune, learning_rate=0.0),
        seed=0,
        device=device,
        precision=config.precision,
        window=partial(bench.meters.window, bench.synchronize),
        watch=lambda epoch: None,
    )
    train_pass(network, Baseline(), sgd(network, run.config), run)
    del batch, run
    batch = task.synthetic(evaluated_at_once(device) * size, device)
    evaluate(network, task, [batch], device, config.precision)
    del spare


def _has_room(trial: Callable[[], None]) -> bool:
    """Run `trial`; whether its memory sufficed."""
    try:
        trial()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _fits_cuda(trial: Callable[[], None]) -> bool:
    """Whether `trial` runs within `SHARE` of the GPU's memory."""
    device = torch.cuda.current_device()
    torch.cuda.set_per_process_memory_fraction(SHARE * _free_share(device), device)
    try:
        return _has_room(trial)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        gc.collect()
        torch.cuda.empty_cache()


def _free_share(device: int) -> float:
    """Of the GPU's memory, what no other process has."""
    free, total = torch.cuda.mem_get_info(device)
    return (free + torch.cuda.memory_reserved(device)) / total


class _HostMemory:
    """Tells from what one batch took whether twice as many images would fit.

    A host has no error to try for: its kernel kills a process that takes too much.
    """

    def __init__(self) -> None:
        _return_free_memory()
        self._available = _available_bytes()
        self._before = psutil.Process().memory_info().rss
        self._taken = 0

    def fits(self, trial: Callable[[], None]) -> bool:
        """Run `trial` if, going by the one before, it takes at most `SHARE` of what was free."""
        if 2 * self._taken > SHARE * self._available:
            return False
        _forget_peak()
        if not _has_room(trial):
            return False
        self._taken = max(_peak_bytes() - self._before, 0)
        return self._taken <= SHARE * self._available


def _available_bytes() -> int:
    """Memory that this process can still take: of the machine, and of its control group."""
    free = [psutil.virtual_memory().available]
    with suppress(OSError, ValueError):  # no such group, or no limit ("max")
        limit = int((_CGROUP / "memory.max").read_text())
        free.append(limit - int((_CGROUP / "memory.current").read_text()))
    return min(free)


def _return_free_memory() -> None:
    """Give the system what the allocator keeps of freed memory: a batch put there takes nothing."""
    with suppress(AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak() -> None:
    _return_free_memory()
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError as error:
        raise UsageError(
            "--energy-batch-size=auto on a CPU reads the peak of its memory from Linux; "
            "give a number here"
        ) from error


def _peak_bytes() -> int:
    """Largest resident size since `_forget_peak`."""
    lines = (_PROCESS / "status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024
