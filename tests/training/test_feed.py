import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from energybench.training.feed import Feed, to_device

CPU = torch.device("cpu")


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    return [(torch.full((2, 1), float(i)), torch.full((2,), i)) for i in range(count)]


def test_it_gives_what_the_batches_have() -> None:
    given = list(Feed(batches(3), CPU))
    for (images, labels), (expected, classes) in zip(given, batches(3), strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(labels, classes)


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


def test_any_nesting_of_tensors_is_moved() -> None:
    class Found(dict[str, Any]):
        """A mapping of somebody else's."""

    one = torch.ones(2)
    batch = {"a": [one, (one, "text")], "b": Pair(one, one), "c": Found(d=one), "e": None}
    moved = to_device(batch, torch.device("meta"))
    assert moved["a"][0].is_meta
    assert moved["a"][1][0].is_meta
    assert moved["a"][1][1] == "text"
    assert isinstance(moved["a"][1], tuple)
    assert isinstance(moved["b"], Pair)
    assert moved["b"].right.is_meta
    assert moved["c"]["d"].is_meta
    assert moved["e"] is None
    assert not one.is_meta


def test_the_clock_runs_for_batches_and_not_for_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)

    def slow() -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal now
        for batch in batches(3):
            now += 2.0
            yield batch

    feed = Feed(slow(), CPU)
    for _ in feed:
        now += 100.0
    assert feed.waited_s() == 6.0


def test_without_a_batch_nothing_was_waited_for() -> None:
    feed = Feed([], CPU)
    assert list(feed) == []
    assert feed.waited_s() == 0.0


class Stream:
    """Stands for a CUDA stream: `now` is when the work given to it so far ends."""

    now_ms = 0.0
    waited_for: "list[Stream.Event]"

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing
            self.at_ms: float | None = None

        def record(self) -> None:
            self.at_ms = Stream.now_ms

        def synchronize(self) -> None:
            Stream.waited_for.append(self)

        def elapsed_time(self, end: "Stream.Event") -> float:
            assert self.at_ms is not None
            assert end.at_ms is not None
            return end.at_ms - self.at_ms


def test_on_a_gpu_events_measure_and_only_the_end_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Stream.Event)
    monkeypatch.setattr(Tensor, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(Stream, "now_ms", 0.0)
    monkeypatch.setattr(Stream, "waited_for", [], raising=False)

    def prepared_on_the_device() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches(4):
            Stream.now_ms += 5.0
            yield batch

    feed = Feed(prepared_on_the_device(), torch.device("cuda", 0))
    for _ in feed:
        Stream.now_ms += 100.0
    assert Stream.waited_for == []
    assert feed.waited_s() == pytest.approx(0.020)
    assert [event.at_ms for event in Stream.waited_for] == [320.0]
