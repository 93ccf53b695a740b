"""Batches on the device that trains, and how long it waited for them."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Feed:
    """One pass over `batches`, each sent to `device`; measures the waiting and adds none.

    On a CPU the clock is read before and after each batch. On a CUDA device two events around it
    go into the current stream: they are as far apart as the stream was without a training step to
    do, idle or preparing the batch, however far ahead the host is.
    """

    def __init__(self, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> None:
        self._batches = batches
        self._device = device
        self._clock: _Clock = _Stream() if device.type == "cuda" else _Host()
        self._waits: list[tuple[Any, Any]] = []

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels on the device."""
        source = iter(self._batches)
        while True:
            asked = self._clock.mark()
            try:
                images, labels = next(source)
            except StopIteration:
                return
            batch = (
                images.to(self._device, non_blocking=True),
                labels.to(self._device, non_blocking=True),
            )
            self._waits.append((asked, self._clock.mark()))
            yield batch

    def waited_s(self) -> float:
        """Seconds until now; on a CUDA device this waits until the last batch is there."""
        return self._clock.seconds(self._waits)


class _Clock(Protocol):
    def mark(self) -> Any:
        """A point in the device's time."""
        ...

    def seconds(self, pairs: Sequence[tuple[Any, Any]]) -> float:
        """Between the marks of each pair, in all."""
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
