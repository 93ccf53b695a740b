"""Cells of a tiny network, for what happens around them."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from energybench.compression.base import Baseline, Score
from energybench.config import Cell, FinetuneConfig, MeasureConfig, RunConfig
from energybench.energy.machine import describe_machine
from energybench.energy.meters.replay import ReplayMeter
from energybench.energy.windows import MeterSet
from energybench.progress import Progress
from energybench.records.journal import Contents, Entry, Event, Journal
from energybench.records.keeper import Keeper
from energybench.records.record import CompressionReport, RunRecord
from energybench.registry import METHODS, MODELS
from energybench.runs.executors.in_process import InProcess
from energybench.runs.run import Run
from energybench.runs.session import Session
from energybench.workloads.images.data.digits import Digits
from energybench.workloads.images.networks import ModelSpec
from support.replay import FIFTY_JOULES


class Tiny(ModelSpec):
    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes))


class Failing(Baseline):
    """Raises after the first step, and remembers the model without keeping it."""

    error: BaseException
    model: weakref.ref[nn.Module]

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        Failing.model = weakref.ref(model)
        return super().compress(model, score, tolerance)

    def after_step(self, model: nn.Module) -> None:
        raise Failing.error


@contextmanager
def tiny_session(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Session]:
    """The session of a tiny model, with `Failing` for stego."""
    spec = Tiny("resnet18", 0, "1", small_image_size=8)
    method: Callable[[str], type[Baseline]] = {"baseline": Baseline, "stego": Failing}.__getitem__
    monkeypatch.setattr(MODELS, "get", lambda name: spec)
    monkeypatch.setattr(METHODS, "get", method)
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(cache))
    config = RunConfig(finetune=FinetuneConfig(max_epochs=1), measure=MeasureConfig(idle_s=0))
    meters = MeterSet({"replay": ReplayMeter(FIFTY_JOULES)})
    cpu = torch.device("cpu")
    machine, progress = describe_machine(), Progress(None)
    yield Session(config, Digits(), cpu, meters, machine, progress, sources=meters.source_names)
    meters.close()
    if hasattr(Failing, "error"):
        Failing.error.__traceback__ = None  # which keeps the model


class MemoryJournal(Journal):
    """A journal that no disk has."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))
        self.entries: list[Entry] = []

    def append(self, entry: Entry | Event) -> None:
        assert isinstance(entry, Entry), "an ordinary session notes no event"
        self.entries.append(entry)

    def read(self, known: Contents | None = None) -> Contents:
        return Contents(tuple(self.entries), ())

    @property
    def records(self) -> list[RunRecord]:
        return [entry.record for entry in self.entries]


def tiny_run(
    session: Session,
    journal: Journal | None = None,
    resume: bool = False,
    checkpoints: Path | None = None,
) -> Run:
    """A run in this process, under the session's configuration."""
    keeper = Keeper(journal or MemoryJournal(), resume)
    return Run(session.config, InProcess(session), keeper, resume, checkpoints)


def run_cell(cell: Cell, session: Session | None = None, run: Run | None = None) -> RunRecord:
    """Run `cell`, and its baseline if need be; an interruption is raised once all is kept.

    Either the `run`, or the `session` of one of its own.
    """
    if run is None:
        assert session is not None
        run = tiny_run(session)
    result = run.result(cell)
    run.keep(result)
    if result.outcome.interruption is not None:
        raise result.outcome.interruption
    return result.record
