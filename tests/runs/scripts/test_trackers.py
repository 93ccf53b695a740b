import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.scripts import measured

from energybench.runs.scripts.trackers import flat_keys


def test_keys_are_flat_and_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with measured("net") as run, run.phase("träin"), run.phase("batch"):
        pass
    keys = flat_keys(run.record)
    assert keys["energy/joules"] == run.total_joules
    assert keys["energy/kwh"] == run.kwh
    assert keys["energy/tr_in/joules"] == 150.0
    assert keys["energy/tr_in/batch/joules"] == 50.0
    assert keys["energy/seconds"] == run.duration_s
    monkeypatch.setattr("energybench.energy.opening.AUTO", ("nvml",))
    with measured("net", meters="auto", replay=None, gpu_uuids=()) as run:
        pass
    assert list(flat_keys(run.record)) == ["energy/seconds"], "unknown is not 0"


def test_a_tracker_that_fails_costs_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> None:
        raise ConnectionError("no\nserver")

    summary = SimpleNamespace(update=fail)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=SimpleNamespace(summary=summary)))
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace())  # half imported
    with measured("net"):
        pass
    assert caplog.messages == [
        "net: its energy is not in Weights & Biases: ConnectionError: no server"
    ]


def test_only_named_runs_are_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Any] = {}
    run = SimpleNamespace(summary=kept)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(run=run))
    with measured():
        pass
    assert kept == {}
    with measured("net"):
        pass
    assert kept["energy/joules"] == 50.0
    assert kept["energy/source"] == "replay"


def test_mlflow_has_the_keys_of_a_run_that_ended_first(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    active = mlflow.start_run()
    with measured("net") as run:
        mlflow.end_run()
    found = mlflow.get_run(active.info.run_id).data
    assert found.metrics["energy/joules"] == run.total_joules == 50.0
    assert found.metrics["energy/kwh"] == run.kwh
    assert found.tags["energy/source"] == "replay"


def test_weights_and_biases_has_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with wandb.init(project="energybench", dir=str(tmp_path)) as active:
        with measured("net") as run, run.phase("train"):
            pass
        assert active.summary["energy/joules"] == run.total_joules
        assert active.summary["energy/train/joules"] == 50.0
        assert active.summary["energy/source"] == "replay"
