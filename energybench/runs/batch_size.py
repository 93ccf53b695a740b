"""The largest batch that fits the device's memory, found before any measurement."""

import gc
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from energybench.compression.base import Baseline
from energybench.errors import CellError, is_out_of_memory
from energybench.runs import host_memory
from energybench.runs.session import Session
from energybench.training.evaluate import evaluate, evaluated_at_once
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
        host_memory.give_back()
        self._available = host_memory.available_bytes()
        self._before = host_memory.resident_bytes()
        self._taken = 0

    def fits(self, trial: Callable[[], None]) -> bool:
        """Run `trial` if twice the memory of the previous one is within `SHARE`."""
        if 2 * self._taken > SHARE * self._available:
            return False
        host_memory.forget_peak()
        if not _has_room(trial):
            return False
        self._taken = max(host_memory.peak_bytes() - self._before, 0)
        return self._taken <= SHARE * self._available
