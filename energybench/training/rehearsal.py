"""Training steps of the real model on real batches, of which nothing is left afterwards."""

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
from energybench.training.memory_format import lay_out, memory_format
from energybench.training.passes import sgd, train_pass
from energybench.training.plan import Finetuning

BATCHES = 4
"""Of the training split, kept in memory and trained on in turn."""


class Trial:
    """Trains some steps in some arithmetic; `trial` makes it."""

    def __init__(
        self,
        model: nn.Module,
        compression: Compression,
        run: Finetuning,
        batches: list[tuple[Tensor, Tensor]],
    ) -> None:
        self._model = model
        self._compression = compression
        self._run = run
        self._batches = itertools.cycle(batches)
        self._optimizer = sgd(model, run.config)

    def train(self, precision: str, steps: int) -> EnergyReading:
        """Take `steps` in `precision` and its memory format, in one window."""
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
        """The model's, and the momentum of each."""
        yield from _tensors(self._model)
        for state in self._optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


@contextmanager
def trial(model: nn.Module, compression: Compression, run: Finetuning) -> Iterator[Trial]:
    """Steps on the first batches of `run.train`, and afterwards nothing left of them.

    `run.train` must not be the one that is trained on later: its order moves on. Parameters,
    buffers, gradients, modes and the state of PyTorch's random numbers are in the end what they
    were, also after an error; memory holds one copy of them, and a copy of `compression`, which
    itself sees none of this. Raises `CellError` for a split without batches.
    """
    with _undone(model, run.device), run.group.network(model) as network:
        batches = [
            (images.to(run.device), labels.to(run.device))
            for images, labels in itertools.islice(run.train, BATCHES)
        ]
        if not batches:
            raise CellError(
                "the training split is smaller than one batch; lower --energy-batch-size"
            )
        run = replace(run, forward=network or run.forward)
        yield Trial(model, copy.deepcopy(compression), run, batches)


@contextmanager
def _undone(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Leave the model and PyTorch's random numbers as they were before the block."""
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
                tensor.data = memory  # which may have been laid out anew
            for parameter, gradient in gradients:
                parameter.grad = gradient
            for module, mode in modes:
                module.training = mode


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()
