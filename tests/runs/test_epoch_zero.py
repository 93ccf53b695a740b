"""Epoch 0 is in the record, and nothing else of the record depends on it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_cells import run_cell, tiny_session
from torch import nn

from energybench.compression.base import Baseline, Score
from energybench.config import Cell, FinetuneConfig
from energybench.energy.windows import MeterSet
from energybench.records.record import CompressionReport, RunRecord
from energybench.registry import METHODS, MODELS
from energybench.runs.epoch_zero import EpochZero
from energybench.runs.executors.in_process import InProcess
from energybench.runs.facts import cell_key
from energybench.runs.measured import Measured
from energybench.runs.session import Session
from energybench.training.evaluate import evaluate
from energybench.workloads.base import Split
from energybench.workloads.images.networks import ModelSpec

CELL = Cell("resnet18", "stego")


class Halved(Baseline):
    """Zeroes the first half of each class's weights, and lets training mend it."""

    passes = 0
    """Forward passes of any network of this test."""

    @staticmethod
    def count(module: nn.Module, _: object) -> None:
        Halved.passes += isinstance(module, nn.Sequential)

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        report = super().compress(model, score, tolerance)
        halve(model)
        return report


@torch.no_grad()
def halve(model: nn.Module) -> None:
    model.get_parameter("1.weight")[:, :96] = 0.0


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path) as found:
        methods = {"baseline": Baseline, "stego": Halved}
        monkeypatch.setattr(METHODS, "get", methods.__getitem__)
        finetune = FinetuneConfig(max_epochs=2, learning_rate=0.05)
        yield replace(found, config=replace(found.config, finetune=finetune))


def on(session: Session, split: Split, compressed: bool) -> tuple[float, float]:
    """Loss and metric of the pretrained weights on a split."""
    task = session.task("resnet18")
    model = task.model(0)
    if compressed:
        halve(model)
    found = evaluate(model, task, session.batches(split, "resnet18", 0), session.device)
    return found.loss, found.value


def test_the_weights_before_training_are_evaluated_pretrained_and_compressed(
    session: Session,
) -> None:
    start = run_cell(CELL, session).start
    assert start is not None
    assert start.test is not None
    assert (start.pretrained.loss, start.pretrained.value) == on(session, "validation", False)
    assert (start.compressed.loss, start.compressed.value) == on(session, "validation", True)
    assert (start.test.loss, start.test.value) == on(session, "test", True)
    own = run_cell(CELL.reference, session).start
    assert own is not None
    assert own.compressed == own.pretrained == start.pretrained


def comparable(record: RunRecord) -> dict[str, Any]:
    """All that no clock decides, but epoch 0."""
    data = replace(record, start=None, target=None).to_json()
    for epoch in data["epochs"]:
        for name in ("duration_s", "items_per_s", "data_wait_share"):
            del epoch[name]
    del data["reference_source"]
    data["phases"] = {name: one["joules"] for name, one in data["phases"].items()}
    return data


class Passes:
    """A meter that counts a joule for every forward pass."""

    min_window_s = 0.0

    def domains(self) -> dict[str, str]:
        return {"cpu:0": "passes"}

    def read_joules(self) -> dict[str, float]:
        return {"cpu:0": float(Halved.passes)}

    def close(self) -> None: ...


def test_nothing_else_depends_on_it_and_no_phase_pays_for_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = torch.nn.modules.module.register_module_forward_pre_hook(Halved.count)
    session = replace(session, meters=MeterSet({"passes": Passes()}))
    found = run_cell(CELL, session)
    before = Halved.passes
    with monkeypatch.context() as patch:
        for name in ("pretrained", "compressed", "test"):
            patch.setattr(EpochZero, name, lambda self, *_: None)
        without = run_cell(CELL, session)
    handle.remove()
    assert without.start is None
    apart: dict[str, Any] = {"spans": {}}  # when windows were open: by the clock
    assert comparable(found) | apart == comparable(without) | apart
    sizes = [len(session.batches(split, "resnet18", 0)) for split in ("train", "validation")]
    assert found.phases["finetune"].joules == {"cpu:0": 2 * sum(sizes)}
    assert before > sum(one.joules["cpu:0"] or 0 for one in found.phases.values())
    assert found.target is not None
    assert found.kwh_to_target is not None


def test_random_numbers_that_a_loader_draws_are_given_back(session: Session) -> None:
    def drawing(split: Split) -> Any:
        torch.rand(3)
        return session.batches(split, "resnet18", 0)

    model = session.task("resnet18").model(0)
    zero = EpochZero(CELL, session, Measured(), drawing)
    before = torch.get_rng_state()
    zero.pretrained(model, "fp32")
    zero.compressed(model, "fp32")
    zero.test(model, "fp32")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_that_is_not_finite_has_no_start(session: Session) -> None:
    measured, model = Measured(), session.task("resnet18").model(0)
    zero = EpochZero(CELL, session, measured, lambda split: session.batches(split, "resnet18", 0))
    zero.pretrained(model, "fp32")
    with torch.no_grad():
        model.get_parameter("1.weight")[0, 0] = float("nan")
    zero.compressed(model, "fp32")
    zero.test(model, "fp32")
    assert measured.start is None


class Normed(ModelSpec):
    """Has batch norms whose statistics are those of untrained weights."""

    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.BatchNorm1d(16), nn.ReLU())


def test_batch_norms_are_estimated_anew_on_the_bill_of_compressing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Normed("resnet18", 0, "1", small_image_size=8)
    monkeypatch.setattr(MODELS, "get", lambda name: spec)
    handle = torch.nn.modules.module.register_module_forward_pre_hook(Halved.count)
    session = replace(session, meters=MeterSet({"passes": Passes()}))
    asked = replace(session, config=replace(session.config, recalibrate_bn=True))
    plain, fresh = run_cell(CELL, session), run_cell(CELL, asked)
    handle.remove()
    assert plain.start is not None
    assert fresh.start is not None
    assert plain.start.pretrained == fresh.start.pretrained
    assert plain.start.compressed != fresh.start.compressed
    passes = len(session.batches("train", "resnet18", 0))
    assert plain.phases["compress"].joules == {"cpu:0": 0}
    assert fresh.phases["compress"].joules == {"cpu:0": passes}
    assert fresh.phases["finetune"].joules == plain.phases["finetune"].joules
    assert (plain.protocol.recalibrate_bn, fresh.protocol.recalibrate_bn) == (False, True)
    keys = []
    for one in (session, asked):
        executor = InProcess(one)
        (prepared,) = executor.prepare(["resnet18"])
        keys.append(cell_key(CELL, one.config, executor.facts, prepared))
    assert keys[0] != keys[1]
