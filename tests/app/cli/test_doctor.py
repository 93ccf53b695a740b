import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.locks import holding
from support.neighbour import busy_neighbour

from energybench.app.cli.doctor import format_time
from energybench.app.cli.main import main


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of this test alone."""
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path))
    return tmp_path


def test_it_says_what_needs_no_lock_before_it_is_refused_one(
    locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with holding("cpu", locks) as holder:
        assert main(["doctor", "--no-wait"]) == 2
    told = capsys.readouterr()
    assert "logical cores" in told.out
    assert "GPUs" in told.out
    assert "Meters" not in told.out
    assert told.err.endswith(
        f"(process {holder}); let it end first, or wait for it without --no-wait\n"
    )


def test_a_fifo_among_the_locks_does_not_keep_it_waiting(
    locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(locks / "cpu.lock")
    assert main(["doctor"]) == 2
    told = capsys.readouterr()
    assert "logical cores" in told.out
    (line,) = told.err.splitlines()
    assert line.endswith("cpu.lock: it is not a plain file; remove it")


@pytest.mark.parametrize("command", ["capacity", "pretrain"])
def test_other_commands_need_not_wait_either(
    command: str, locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with holding("cpu", locks):
        assert main([command, "--no-wait", "--device=cpu"]) == 2
    assert "wait for it without --no-wait" in capsys.readouterr().err


def test_this_machine_at_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "doctor.json"
    assert main(["doctor", "--observe=0.1", "--idle=0.05", "--json", str(kept)]) == 0
    out = capsys.readouterr().out
    found: dict[str, Any] = json.loads(kept.read_text())
    assert [meter["name"] for meter in found["meters"]] == [
        *("nvml", "amdsmi", "intel-gpu", "rapl", "perf", "hwmon", "zeus", "codecarbon"),
        *("wall", "ipmi"),
    ]
    for meter in found["meters"]:
        assert meter["name"] in out
        if meter["unavailable"]:
            assert f"not available: {meter['unavailable']}" in out
        else:
            assert meter["window_s"] > 0
    assert found["automatic"], "there is always an estimate"
    assert ("Idle, 0.05 s" in out) == (found["idle_refused"] is None)
    assert "Processors: others used " in out


def test_a_busy_machine_is_said_to_be_busy_and_has_no_idle_power(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("energybench.registry.METERS._builtin", {})  # only those of `auto`
    monkeypatch.setattr("energybench.energy.opening.AUTO", ())
    monkeypatch.setattr("energybench.energy.neighbours._NAMED", 99)  # others may be busier
    with busy_neighbour() as neighbours:
        assert main(["doctor", "--observe=0.3", "--idle=0.3"]) == 0
    out = capsys.readouterr().out
    assert "others are busy" in out
    assert any(f"{pid} python" in out for pid in neighbours)
    assert "Idle: not known, the machine was not idle in 3 attempts: others used " in out
    assert "together" not in out


def test_no_time_to_observe_is_still_a_reading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--observe=0", "--idle=0"]) == 0
    assert "a reading takes" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("energybench.registry.METERS._builtin", {})
    assert main(["doctor", "--idle=0", "--json", str(tmp_path / "no" / "file.json")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (2e-6, "2 us"), (0.0034, "3.4 ms"), (1.25, "1.25 s")]
)
def test_short_times(seconds: float | None, text: str) -> None:
    assert format_time(seconds) == text
