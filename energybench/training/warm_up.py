"""A few training steps and an evaluation before anything is measured.

The first steps of a process, and the first ones of a network, are slower: libraries load, kernels
are chosen, memory is mapped, clock rates rise. Without a warm-up the cell that runs first pays for
it.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import nn

from energybench.compression.base import Baseline
from energybench.training.distributed.sharding import gathered
from energybench.training.evaluate import evaluate
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.passes import sgd, train_pass
from energybench.training.plan import Finetuning

STEPS = 3
"""Training steps of a warm-up."""


def warm_up(model: nn.Module, run: Finetuning) -> None:
    """Train `model` for `STEPS` batches and judge it on one; no energy window is opened.

    Throw the model away afterwards. `run` must not be trained on later, because the order of its
    batches advances. Raises `CellError` for a split without batches.
    """
    lay_out(model.parameters(), memory_format(run.memory_format, run.precision, run.device))
    if run.shard:
        with run.group.sharded(model) as parts:
            _rehearse(parts, run)
    else:
        with run.group.data_parallel(model) as network:
            _rehearse(model, replace(run, forward=network))


def _rehearse(model: nn.Module, run: Finetuning) -> None:
    few = replace(run, train=list(islice(run.train, STEPS)))
    train_pass(model, Baseline(), sgd(model, run.config), few)
    one = list(islice(run.validation, 1))
    with gathered(model):
        evaluate(model, run.task, one, run.device, run.precision, run.group)


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[None]:
    """Restore the random number generators of Python, NumPy and PyTorch after the block."""
    pythons, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)
