"""A warm-up comes before the first window of a cell and changes nothing."""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_cells import Tiny, run_cell, tiny_session
from torch import nn

from energybench.config import Cell
from energybench.energy.windows import MeterSet, Window
from energybench.records.record import RunRecord
from energybench.registry import MODELS
from energybench.runs.session import Session
from energybench.training import warm_up
from energybench.training.passes import train_pass

BASELINE = Cell("resnet18", "baseline")


class WithDropout(Tiny):
    """A network whose training depends on the state of PyTorch's random numbers."""

    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        return nn.Sequential(super().build(classes), nn.Dropout(0.2))


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path) as found:
        spec = WithDropout("resnet18", 0, "0.1", small_image_size=8)
        monkeypatch.setattr(MODELS, "get", lambda name: spec)
        yield found


def test_results_are_the_same_bit_for_bit_with_and_without(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def course(record: RunRecord) -> tuple[Any, ...]:
        assert record.test is not None
        losses = [(epoch.train_loss, epoch.validation_loss) for epoch in record.epochs]
        return losses, record.test.outcomes

    session.pretrained("resnet18")
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    with warm_up.kept_random_state(session.device):
        torch.rand(1), random.random(), np.random.random()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), str(np.random.get_state()))
    with_it = run_cell(BASELINE, session)
    monkeypatch.setattr("energybench.runs.cell.warm_up", lambda model, run: None)
    assert course(run_cell(BASELINE, session)) == course(with_it)


def test_it_precedes_the_first_window_and_is_in_none(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    window = MeterSet.window

    def opened(self: MeterSet, *arguments: Any) -> AbstractContextManager[Window]:
        calls.append("window")
        return window(self, *arguments)

    def stepped(*arguments: Any) -> Any:
        calls.append("steps")
        return train_pass(*arguments)

    session.pretrained("resnet18")
    monkeypatch.setattr(MeterSet, "window", opened)
    monkeypatch.setattr(warm_up, "train_pass", stepped)
    assert run_cell(BASELINE, session).status == "ok"
    assert calls[:2] == ["steps", "window"]
    assert calls.count("steps") == 1


def test_a_network_that_does_not_fit_warms_up_nothing_and_costs_no_cell(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("tried to allocate 1 EiB")

    monkeypatch.setattr(warm_up, "train_pass", full)
    assert run_cell(BASELINE, session).status == "ok"
