"""Moves batches to the training device and measures how long training waited for them."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from energybench.workloads.base import Batch


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return `batch` with every tensor on `device`, copied without waiting.

    Tuples, named tuples, lists and mappings are followed; a mapping becomes a dict. What is none of
    these stays as it is.
    """
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        moved = [to_device(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch


class Feed:
    """One pass over `batches`, each moved to `device`, with a clock on the waiting between steps.

    On a CPU the clock is read before and after each batch. On a CUDA device, two events around
    each batch go into the current stream. Their distance is the time in which the stream had no
    training step to do, however far ahead the host is.
    """

    def __init__(self, batches: Iterable[Batch], device: torch.device) -> None:
        self._batches = batches
        self._device = device
        self._clock: _Clock = _Stream() if device.type == "cuda" else _Host()
        self._waits: list[tuple[Any, Any]] = []

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches on the device."""
        source = iter(self._batches)
        while True:
            asked = self._clock.mark()
            try:
                batch = to_device(next(source), self._device)
            except StopIteration:
                return
            self._waits.append((asked, self._clock.mark()))
            yield batch

    def waited_s(self) -> float:
        """Return the seconds waited so far; on a CUDA device this waits for the last batch."""
        return self._clock.seconds(self._waits)


class _Clock(Protocol):
    def mark(self) -> Any:
        """Return a point in the device's time."""
        ...

    def seconds(self, pairs: Sequence[tuple[Any, Any]]) -> float:
        """Return the sum over pairs of the time between the two marks."""
        ...


class _Host:
    def mark(self) -> float:
        return time.perf_counter()

    def seconds(self, pairs: Sequence[tuple[float, float]]) -> float:
        return sum(end - start for start, end in pairs)


class _Stream:
    def mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, pairs: Sequence[tuple[torch.cuda.Event, torch.cuda.Event]]) -> float:
        if pairs:
            pairs[-1][1].synchronize()
        return float(sum(start.elapsed_time(end) for start, end in pairs)) / 1e3
