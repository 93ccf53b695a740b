"""The callback in a real Lightning trainer; `tox run -e callbacks` has it."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from support.scripts import REPLAYED, epochs_of, only
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from energybench.operators import declare_operators

declare_operators()
lightning = pytest.importorskip("lightning.pytorch")

from energybench.app.callbacks.lightning import EnergyCallback  # noqa: E402 - if it is there

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's own


class Little(lightning.LightningModule):  # type: ignore[misc, name-defined]
    def __init__(self, error: BaseException | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self._error = error

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        if self._error is not None:
            raise self._error
        loss = nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        self.log("val_accuracy", 0.75)

    def on_train_epoch_end(self) -> None:
        self.log("late", float(self.current_epoch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(callback: EnergyCallback, model: Any) -> None:
    data = DataLoader(TensorDataset(torch.randn(8, 4), torch.arange(8) % 2), 4)
    with warnings.catch_warnings(action="ignore"):
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[callback],
        )
        trainer.fit(model, data, data)


def test_a_training_has_its_epochs_losses_and_metrics(tmp_path: Path) -> None:
    callback = EnergyCallback("little", save=tmp_path / "run.json", **REPLAYED)
    fit(callback, Little())
    record = only(tmp_path / "run.json")
    assert callback.run is not None
    assert callback.run.record == record
    assert record.status == "ok"
    assert [one.epoch for one in epochs_of(record)] == [1, 2]
    assert [one.logged["late"] for one in epochs_of(record)] == [0.0, 1.0]
    assert all("train_loss" in one.logged for one in epochs_of(record))
    assert record.value == 0.75
    assert record.script is not None
    assert record.script.settings["max_epochs"] == 2


def test_what_ends_a_training_early_is_in_the_record(tmp_path: Path) -> None:
    callback = EnergyCallback("little", save=tmp_path / "run.json", **REPLAYED)
    with pytest.raises(ValueError, match="diverged"):
        fit(callback, Little(ValueError("diverged")))
    record = only(tmp_path / "run.json")
    assert (record.status, record.error) == ("failed", "ValueError: diverged")


def test_a_failing_meter_breaks_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = EnergyCallback("little", meters=["nvml"], gpu_uuids=(), save=tmp_path / "run.json")
    fit(callback, Little())
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("energybench")]
    assert len(ours) == 1
    assert "little is not measured: meter nvml is not available" in ours[0]
