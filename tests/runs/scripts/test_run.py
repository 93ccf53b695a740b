import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.fake_hardware import A100, OTHER, FakeGpu, FakeNvml
from support.scripts import epochs_of, measured, only

import energybench
from energybench.errors import UsageError
from energybench.records.metric import ACCURACY, Metric
from energybench.records.record import SCHEMA_VERSION


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading of the meters is a second after the one before."""
    now = iter(range(0, 10**12, 10**9))
    monkeypatch.setattr(
        "energybench.energy.windows.time", SimpleNamespace(perf_counter_ns=lambda: next(now))
    )


def test_the_whole_run_is_the_record_s_energy(tmp_path: Path, clock: None) -> None:
    with measured("net", save=tmp_path / "run.json", pue=2.0, settings={"lr": 0.1}) as run:
        run.log(loss=0.5)
    assert run.total_joules == run.it_joules == 50.0
    record = only(tmp_path / "run.json")
    assert (record.model, record.method, record.seed) == ("net", "script", 0)
    assert record.schema_version == SCHEMA_VERSION
    assert list(record.phases) == ["run"]
    assert record.kwh == record.kwh_total == pytest.approx(50.0 * 2.0 / 3.6e6)
    assert record.energy_source == "replay"
    assert record.script is not None
    assert (record.script.settings, record.script.logged) == ({"lr": 0.1}, {"loss": 0.5})
    assert record == run.record


def test_nothing_that_was_not_told_is_in_the_record() -> None:
    with measured("net") as run:
        run.log(epoch=1, loss=0.5)
    record = run.record
    known = {name for name, value in vars(record.protocol).items() if value is not None}
    assert known == {"pue", "device_name"}
    assert (record.dataset.name, record.weights.source, record.metric) == ("", "", None)
    assert (record.drop, record.within_tolerance, record.items_per_s) == (None, None, None)
    assert (record.epochs, record.epoch_count) == ([], 1)
    assert math.isinf(record.tolerance)


def test_phases_nest_and_add_up(clock: None) -> None:
    with measured("net") as run:
        for _ in range(2):
            with run.phase("train") as window, run.phase("batch") as batch:
                pass
        assert (window.total_joules, batch.total_joules) == (150.0, 50.0)
        with run.phase("test"):
            pass
    assert {name: one.it_joules for name, one in run.phases.items()} == {
        "train": 300.0,
        "train/batch": 100.0,
        "test": 50.0,
    }
    assert run.phases["train"].duration_s == 6.0
    assert list(run.record.phases) == ["run", "train", "train/batch", "test"]


def test_a_phase_that_an_exception_leaves_keeps_its_energy() -> None:
    with measured("net") as run:
        with pytest.raises(ZeroDivisionError), run.phase("train"), run.phase("batch"):
            raise ZeroDivisionError
        with run.phase("test"):
            pass
    assert run.record.status == "ok", "the script went on"
    interrupted = [name for name, one in run.phases.items() if "interrupted" in one.flags]
    assert interrupted == ["train", "train/batch"]
    assert run.phases["train/batch"].it_joules == 50.0


@pytest.mark.parametrize("name", ["", " ", "a/b", "run"])
def test_a_phase_needs_a_name_of_its_own(name: str) -> None:
    with measured("net") as run:
        with pytest.raises(UsageError, match=r"name of a phase|is the whole run"), run.phase(name):
            pytest.fail("it ran")
        with run.phase("train"), run.phase("run"):
            pass
    assert list(run.phases) == ["train", "train/run"]


def test_an_epoch_has_the_energy_since_the_one_before(clock: None) -> None:
    with measured("net") as run:
        run.log(epoch=1, loss=1.0)
        with run.phase("train"):
            pass
        run.log(epoch=2, loss=0.5, accuracy=0.8)
        run.log(epoch=2, accuracy=0.9)
    first, second = run.epochs
    assert (first.joules, first.duration_s) == (50.0, 1.0)
    assert (second.joules, second.duration_s) == (200.0, 4.0), "both parts, with the phase"
    assert second.logged == {"loss": 0.5, "accuracy": 0.9}
    assert run.record.value == 0.9


def test_epoch_zero_begins_the_first_one(clock: None) -> None:
    with measured("net") as run:
        with run.phase("load"):
            pass
        run.log(epoch=0, accuracy=0.1)
        run.log(epoch=1, accuracy=0.2)
    (epoch,) = run.epochs
    assert (epoch.epoch, epoch.joules) == (1, 50.0)


def test_an_epoch_much_longer_than_the_others_is_uneven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = [0, 1, 2, 3, 4, 24, 25, 26, 27, 28, 29]
    now = iter(second * 10**9 for second in seconds)
    monkeypatch.setattr(
        "energybench.energy.windows.time", SimpleNamespace(perf_counter_ns=lambda: next(now))
    )
    with measured("net") as run:
        for epoch in (1, 2, 3, 4):
            run.log(epoch=epoch)
    uneven = [one.epoch for one in epochs_of(run.record) if "uneven" in one.flags]
    assert uneven == [3]
    assert "uneven" in run.record.flags


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.float32(0.5), 0.5),
        (np.array([0.5]), 0.5),
        (10**400, math.inf),
        (-1e300, -math.inf),
        (True, 1.0),
    ],
)
def test_what_can_be_logged(value: Any, kept: float, tmp_path: Path) -> None:
    with measured("net", save=tmp_path / "run.json") as run:
        run.log(epoch=1, loss=value)
    assert epochs_of(only(tmp_path / "run.json"))[0].logged == {"loss": kept}


def test_a_loss_that_is_no_number_is_kept(tmp_path: Path) -> None:
    with measured("net", save=tmp_path / "run.json") as run:
        run.log(epoch=1, loss=math.nan, accuracy=math.nan)
    record = only(tmp_path / "run.json")
    assert math.isnan(epochs_of(record)[0].logged["loss"])
    assert record.value is not None
    assert math.isnan(record.value)


@pytest.mark.parametrize("value", ["0.5x", [1, 2], None, np.zeros(2)])
def test_what_cannot_be_logged(value: Any) -> None:
    with measured("net") as run, pytest.raises(UsageError, match=r"'loss' is .*; log one number"):
        run.log(loss=value)


@pytest.mark.parametrize("epoch", [0.5, -1, True, math.nan, math.inf])
def test_an_epoch_is_a_whole_number(epoch: Any) -> None:
    with measured("net") as run, pytest.raises(UsageError, match="log a whole number"):
        run.log(epoch=epoch)


def test_a_run_that_has_ended_takes_nothing_more() -> None:
    with measured("net") as run, pytest.raises(UsageError, match="the run has not ended"):
        _ = run.record
    with pytest.raises(UsageError, match=r"log\(\): the run 'net' has ended"):
        run.log(loss=0.5)
    with pytest.raises(UsageError, match=r"phase.*the run 'net' has ended"), run.phase("late"):
        pass
    with measured() as nameless:
        pass
    with pytest.raises(UsageError, match="a run without a name has no record"):
        _ = nameless.record


def test_the_metric_is_the_last_value_of_its_name(caplog: pytest.LogCaptureFixture) -> None:
    with measured("net") as run:
        run.log(epoch=1, val_accuracy=0.7)
        run.log(epoch=2, val_accuracy=0.8)
    assert (run.record.metric, run.record.value, run.record.test) == (ACCURACY, 0.8, None)
    rmse = Metric("rmse", higher_is_better=False, unit="m", scale=1.0)
    with measured("net", metric=rmse) as run:
        run.log(rmse=12.5, accuracy=0.9)
    assert (run.record.metric, run.record.value) == (rmse, 12.5)
    assert caplog.text == ""


def test_an_accuracy_in_percent_is_no_metric(caplog: pytest.LogCaptureFixture) -> None:
    with measured("net") as run:
        run.log(accuracy=98.2)
    assert (run.record.metric, run.record.value) == (None, None)
    assert run.record.script is not None
    assert run.record.script.logged == {"accuracy": 98.2}
    assert "an accuracy is a share, 0 to 1" in caplog.text


def test_a_run_without_energy_says_why(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("energybench.energy.opening.AUTO", ("nvml",))
    with energybench.measure("net", gpu_uuids=(), save=tmp_path / "run.json") as run:
        run.log(epoch=1, loss=0.5)
    assert run.total_joules is None
    record = only(tmp_path / "run.json")
    assert (record.kwh, epochs_of(record)[0].joules) == (None, None)
    assert "no energy of net: nvml: no GPU in use" in caplog.text


def test_a_run_on_a_gpu_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml([FakeGpu(A100), FakeGpu(OTHER)])
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with energybench.measure("net", meters=["nvml"]) as run:
        fake.gpus[0].millijoules = 9_000_000
        with run.phase("train"):
            fake.gpus[1].millijoules = 1_003_000
    assert (run.total_joules, run.phases["train"].it_joules) == (3.0, 3.0)
    assert run.record.protocol.device_name == fake.gpus[1].name
    assert run.record.energy_source == "nvml_counter"
    assert run.record.protocol.device is None
