"""Training steps on the real model and real batches, undone afterwards.

`calibrate` times arithmetics with them, `compiled` compiles with them.
"""

import copy
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from energybench.compression.base import Compression
from energybench.energy.readings import EnergyReading
from energybench.errors import CellError
from energybench.training.feed import to_device
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.passes import NO_BATCH, sgd, train_pass
from energybench.training.plan import Finetuning
from energybench.workloads.base import Batch

BATCHES = 4
"""Batches of the training split that are kept on the device and trained on in turn."""


class Rehearsal:
    """Trains steps in a given arithmetic; made by `rehearsal`."""

    def __init__(
        self,
        model: nn.Module,
        compression: Compression,
        run: Finetuning,
        batches: list[Batch],
    ) -> None:
        self._model = model
        self._compression = compression
        self._run = run
        self._batches = itertools.cycle(batches)
        self._optimizer = sgd(model, run.config)

    def train(self, precision: str, steps: int) -> EnergyReading:
        """Take `steps` in `precision` and its memory format, and return their energy window."""
        run = self._run
        lay_out(self._tensors(), memory_format(run.memory_format, precision, run.device))
        batches = list(itertools.islice(self._batches, steps))
        with run.window() as window:
            train_pass(
                self._model,
                self._compression,
                self._optimizer,
                replace(run, train=batches, precision=precision),
            )
        return window.reading

    def _tensors(self) -> Iterator[Tensor]:
        """Yield the model's tensors and their momenta."""
        yield from _tensors(self._model)
        for state in self._optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


@contextmanager
def rehearsal(model: nn.Module, compression: Compression, run: Finetuning) -> Iterator[Rehearsal]:
    """Give steps on the first batches of `run.train`, and undo them at the end of the block.

    Parameters, buffers, gradients, modes and PyTorch's random number generators are restored, also
    after an error. `compression` is copied and does not change. Memory holds one copy of the
    model's tensors meanwhile. `run.train` must not be trained on later, because its order advances.
    Raises `CellError` for a split without batches.
    """
    with _undone(model, run.device), run.group.data_parallel(model) as network:
        first = itertools.islice(run.train, BATCHES)
        batches = [to_device(batch, run.device) for batch in first]
        if not batches:
            raise CellError(NO_BATCH)
        run = replace(run, forward=network or run.forward)
        yield Rehearsal(model, copy.deepcopy(compression), run, batches)


@contextmanager
def _undone(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore the model and PyTorch's random number generators after the block."""
    tensors = [(one, one.detach(), one.detach().clone()) for one in _tensors(model)]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        for parameter, _ in gradients:
            parameter.grad = None
        try:
            yield
        finally:
            for tensor, memory, before in tensors:
                memory.copy_(before)
                tensor.data = memory  # its memory format may have changed
            for parameter, gradient in gradients:
                parameter.grad = gradient
            for module, mode in modes:
                module.training = mode


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()
