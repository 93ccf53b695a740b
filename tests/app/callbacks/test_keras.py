"""The callback in a real `fit` of Keras on PyTorch; `tox run -e callbacks` has it."""

import os
from pathlib import Path

import numpy as np
import pytest
from support.scripts import REPLAYED, epochs_of, only

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

from energybench.app.callbacks.keras import EnergyCallback  # noqa: E402 - if there is Keras


def fit(callback: EnergyCallback) -> None:
    model = keras.Sequential([keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    x, y = np.random.rand(8, 4).astype("f4"), np.arange(8) % 2
    data = {"validation_data": (x, y), "batch_size": 4}
    model.fit(x, y, epochs=2, verbose=0, callbacks=[callback], **data)


def test_a_training_has_its_epochs_losses_and_metrics(tmp_path: Path) -> None:
    callback = EnergyCallback("little", save=tmp_path / "run.json", **REPLAYED)
    fit(callback)
    record = only(tmp_path / "run.json")
    assert callback.run is not None
    assert callback.run.record == record
    assert record.status == "ok"
    assert [one.epoch for one in epochs_of(record)] == [1, 2]
    names = {"train_loss", "train_accuracy", "val_loss", "val_accuracy"}
    assert all(one.logged.keys() == names for one in epochs_of(record))
    assert record.value == epochs_of(record)[-1].logged["val_accuracy"]
    assert record.script is not None
    assert record.script.settings == {"max_epochs": 2}


def test_a_failing_meter_breaks_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = EnergyCallback("little", meters=["nvml"], gpu_uuids=(), save=tmp_path / "run.json")
    fit(callback)
    (line,) = [one.getMessage() for one in caplog.records if one.name.startswith("energybench")]
    assert "little is not measured: meter nvml is not available" in line


def test_a_loop_of_one_s_own_calls_it(tmp_path: Path) -> None:
    callback = EnergyCallback("loop", save=tmp_path / "run.json", **REPLAYED)
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": 1.0})
    callback.on_train_end()
    assert [one.logged for one in epochs_of(only(tmp_path / "run.json"))] == [
        {"train_loss": 1.0}
    ] * 2
