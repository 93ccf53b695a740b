"""The callback in a real `Trainer`, of a network with ten parameters."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.scripts import REPLAYED, epochs_of, only
from torch import Tensor, nn

from energybench.app.callbacks.trainer import EnergyCallback  # declares operators before:
from energybench.records.saved import read_run

from transformers import Trainer, TrainingArguments  # isort: skip


class Little(nn.Module):
    def __init__(self, fails_at: int = 0) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.steps, self._fails_at = 0, fails_at

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        self.steps += 1
        if self.steps == self._fails_at:
            raise ValueError("diverged")
        scores = self.layer(x)
        return {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}


def trainer(callback: EnergyCallback, folder: Path, model: nn.Module, **arguments: Any) -> Trainer:
    data = [{"x": torch.randn(4), "labels": torch.tensor(i % 2)} for i in range(8)]
    fields: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.01,
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "seed": 5,
    }
    return Trainer(
        model=model,
        args=TrainingArguments(**(fields | arguments)),
        train_dataset=data,
        eval_dataset=data,
        compute_metrics=lambda _: {"accuracy": 0.75},
        callbacks=[callback],
    )


def test_a_training_has_its_epochs_losses_and_metrics(tmp_path: Path) -> None:
    callback = EnergyCallback("little", save=tmp_path / "run.json", **REPLAYED)
    each = {"eval_strategy": "epoch", "logging_strategy": "epoch"}
    trainer(callback, tmp_path, Little(), **each).train()
    record = only(tmp_path / "run.json")
    assert (record.status, record.model, record.seed) == ("ok", "little", 5)
    assert callback.run is not None
    assert callback.run.record == record
    assert [one.epoch for one in epochs_of(record)] == [1, 2]
    for epoch in epochs_of(record):
        assert epoch.joules is not None
        assert {"loss", "eval_loss", "eval_accuracy", "learning_rate"} <= epoch.logged.keys()
    assert record.value == 0.75
    assert record.script is not None
    assert record.script.settings["learning_rate"] == 0.01
    assert record.script.settings["per_device_train_batch_size"] == 4
    joules = sum(one.joules or 0.0 for one in epochs_of(record))
    assert callback.run.total_joules is not None
    assert 0.0 < joules <= callback.run.total_joules


def test_a_training_of_some_steps_is_one_epoch(tmp_path: Path) -> None:
    callback = EnergyCallback("little", save=tmp_path / "run.json", **REPLAYED)
    trainer(callback, tmp_path, Little(), max_steps=1).train()
    assert [one.epoch for one in epochs_of(only(tmp_path / "run.json"))] == [1]


def test_a_training_that_fails_leaves_a_record_once_the_next_begins(tmp_path: Path) -> None:
    callback = EnergyCallback("little", save=tmp_path / "run.json", **REPLAYED)
    with pytest.raises(ValueError, match="diverged"):
        trainer(callback, tmp_path, Little(fails_at=2)).train()
    trainer(callback, tmp_path, Little(), max_steps=1).train()
    first, second = read_run(tmp_path / "run.json")
    assert (first.status, second.status) == ("interrupted", "ok")


def test_a_failing_meter_breaks_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = EnergyCallback("little", meters=["nvml"], gpu_uuids=(), save=tmp_path / "run.json")
    model = Little()
    trainer(callback, tmp_path, model).train()
    assert model.steps == 4
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("energybench")]
    assert len(ours) == 1
    assert "little is not measured: meter nvml is not available" in ours[0]
