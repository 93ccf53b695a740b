import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.locks import end, start_holder
from support.replay import TRACE
from support.scripts import REPLAYED, epochs_of, only

import energybench
from energybench.app.callbacks.recorder import Recorder
from energybench.errors import UsageError
from energybench.records.saved import read_run


def recorder(path: Path, **options: Any) -> Recorder:
    return Recorder("net", save=path, **(REPLAYED | options))


def test_a_training_is_a_run(tmp_path: Path) -> None:
    own = recorder(tmp_path / "run.json", settings={"lr": 0.2})
    assert own.run is None
    own.begin({"lr": 0.1, "epochs": 2}, seed=7)
    for number in (1, 2):
        own.begin_epoch(number)
        own.values({"epoch": 0.5, "loss": 1.0 / number, "note": "a text", "pair": [1, 2]})
    own.end()
    record = only(tmp_path / "run.json")
    assert record.script is not None
    assert record.script.settings == {"lr": 0.2, "epochs": 2}, "the user's own count"
    assert record.seed == 7
    assert [one.logged for one in epochs_of(record)] == [{"loss": 1.0}, {"loss": 0.5}]
    assert own.run is not None
    assert own.run.record == record


def test_a_given_seed_counts(tmp_path: Path) -> None:
    own = recorder(tmp_path / "run.json", seed=3)
    own.begin({}, seed=7)
    own.end()
    assert only(tmp_path / "run.json").seed == 3


def test_a_training_that_fails_is_saved_as_failed(tmp_path: Path) -> None:
    own = recorder(tmp_path / "run.json")
    own.begin({})
    own.begin_epoch(1)
    own.end(ValueError("diverged"))
    record = only(tmp_path / "run.json")
    assert (record.status, record.error) == ("failed", "ValueError: diverged")
    assert epochs_of(record) == [], "the epoch did not end"


def test_a_training_that_begins_anew_ends_the_one_before(tmp_path: Path) -> None:
    own = recorder(tmp_path / "journal.jsonl")
    own.begin({})
    own.begin({})
    own.end()
    own.end()
    first, second = read_run(tmp_path / "journal.jsonl")
    assert first.error == "interrupted (the training did not reach its end)"
    assert (first.status, second.status) == ("interrupted", "ok")


def test_a_training_that_never_ends_is_saved_at_the_end_of_python(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    code = (
        "from energybench.app.callbacks.recorder import Recorder\n"
        f"own = Recorder('net', meters='replay', replay={TRACE!r}, save={str(path)!r})\n"
        "own.begin({})\n"
        "raise MemoryError\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "MemoryError" in done.stderr
    assert only(path).status == "interrupted"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_that_ends_first_saves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    code = (
        "import os, sys\n"
        "from energybench.app.callbacks.recorder import Recorder\n"
        f"own = Recorder('net', meters='replay', replay={TRACE!r}, save={str(path)!r})\n"
        "own.begin({})\n"
        "if os.fork() == 0:\n"
        "    sys.exit()\n"
        "os.wait()\n"
        "own.end()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert only(path).status == "ok"


def test_a_failure_costs_one_line_and_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the meter\nis gone")

    own = recorder(tmp_path / "run.json")
    own.begin({})
    own.begin_epoch(1)
    monkeypatch.setattr("energybench.runs.scripts.run.Run.log", fail)
    own.begin_epoch(2)
    own.values({"loss": 0.5})
    own.begin_epoch(3)
    own.end()
    assert caplog.messages == ["net is not measured: OSError: the meter is gone"]
    assert only(tmp_path / "run.json").status == "failed"


def test_a_meter_that_is_not_there_costs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = Recorder("net", meters=["nvml"], gpu_uuids=(), save=tmp_path / "run.json")
    own.begin({})
    own.begin_epoch(1)
    own.values({"loss": 0.5})
    own.end()
    (line,) = caplog.messages
    assert line.startswith("net is not measured: meter nvml is not available")
    assert own.run is None


def test_no_training_waits_for_another_measurement_unless_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = start_holder("cpu", tmp_path)
    own = recorder(tmp_path / "run.json")
    own.begin({})
    own.end()
    end(holder)
    (line,) = caplog.messages
    assert line.startswith("net is not measured: another measurement runs")
    own.begin({})
    own.end()
    assert only(tmp_path / "run.json").kwh is not None


def test_wrong_arguments_are_refused_before_the_training() -> None:
    with pytest.raises(UsageError, match="name a run as"):
        Recorder("net", save="run.txt")


def test_other_blocks_are_nested_in_a_training(tmp_path: Path) -> None:
    own = recorder(tmp_path / "run.json")
    own.begin({})
    assert energybench.current_run() is own.run
    with energybench.current_run().phase("data"):
        pass
    own.end()
    assert list(only(tmp_path / "run.json").phases) == ["run", "data"]
