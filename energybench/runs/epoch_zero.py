"""Epoch 0: the network before its first training step. No phase holds the energy of it."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor, nn

from energybench.compression.weights import without_adapters
from energybench.config import Cell
from energybench.records.start import Evaluation, Start
from energybench.runs.measured import Measured
from energybench.runs.session import Session
from energybench.training.evaluate import evaluate
from energybench.workloads.base import Batches, Split


class EpochZero:
    """Evaluates one cell's network before fine-tuning, and fills `Measured.start`.

    It changes neither the network nor PyTorch's random numbers. Between `compressed` and `test` it
    holds one copy of the weights, on the CPU.
    """

    def __init__(
        self,
        cell: Cell,
        session: Session,
        measured: Measured,
        batches: Callable[[Split], Batches],
    ) -> None:
        self._task = session.task(cell.model)
        self._unchanged = cell == cell.reference and not session.config.recalibrate_bn
        self._session = session
        self._measured = measured
        self._batches = batches
        self._pretrained: Evaluation | None = None
        self._weights: dict[str, Tensor] = {}

    def pretrained(self, network: nn.Module, precision: str) -> None:
        """Evaluate the pretrained weights on the validation split."""
        self._pretrained = self._evaluate(network, "validation", precision)

    def compressed(self, network: nn.Module, precision: str) -> None:
        """Evaluate the compressed weights on the validation split, and keep a copy of them.

        A baseline's weights are the pretrained ones and not evaluated again, nor are those of a
        cell that continues: its start is in its checkpoint.
        """
        state = without_adapters(network.state_dict())  # they change nothing yet, and end merged
        self._weights = {name: value.to("cpu", copy=True) for name, value in state.items()}
        if self._measured.start is not None or self._pretrained is None:
            return
        found = self._pretrained
        if not self._unchanged:
            again = self._evaluate(network, "validation", precision)
            if again is None:
                return
            found = again
        self._measured.start = Start(self._pretrained, found)

    def test(self, network: nn.Module, precision: str) -> None:
        """Evaluate the kept weights on the test split; `network` holds them afterwards."""
        if self._measured.start is None:
            return
        network.load_state_dict(self._weights)
        found = self._evaluate(network, "test", precision)
        self._measured.start = replace(self._measured.start, test=found)

    def _evaluate(self, network: nn.Module, split: Split, precision: str) -> Evaluation | None:
        """Return loss and metric; None if one of them is not finite."""
        session = self._session
        with _same_random_numbers(session.device):
            found = evaluate(
                network,
                self._task,
                self._batches(split),
                session.device,
                precision,
                session.group,
            )
        finite = math.isfinite(found.loss) and math.isfinite(found.value)
        return Evaluation(found.loss, found.value) if finite else None


def _same_random_numbers(device: torch.device) -> AbstractContextManager[None]:
    """Restore PyTorch's generators after the block: a loader with workers draws from them."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])
