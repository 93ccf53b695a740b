from pathlib import Path

import pytest
from support.saved_runs import cell, save

from energybench.app.cli.main import main
from energybench.energy.readings import EnergyReading, PowerTrace


def test_a_rule_that_is_broken_is_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save(tmp_path / "run.json", [cell()])
    assert main(["check", "mlperf", run]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "resnet18 baseline seed 0"
    assert lines[1] == (
        "  fail        one measurement a second: not met: the record has no samples of power; "
        "measure with --energy-trace"
    )
    assert lines[-1] == "2 pass, 5 fail, 1 cannot know"


def test_what_a_record_cannot_show_breaks_no_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [float(second) for second in range(1, 90)]
    trace = PowerTrace(1.0, times, {"wall:plug": [50.0] * 89}, {"finetune": 10.5})
    fine = EnergyReading(70.0, {"wall:plug": 3500.0}, {"wall:plug": "rapl"})
    changes = {"trace": trace, "phases": {"finetune": fine}}
    run = save(tmp_path / "run.json", [cell(seed=seed, changes=changes) for seed in range(3)])
    assert main(["check", "mlperf", run]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "19 pass, 0 fail, 3 cannot know"
    assert "cannot know a power meter within 5 %: not met: the record holds no certificate" in out


def test_a_run_without_cells_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text('{"benchmarks": []}')
    assert main(["check", "mlperf", str(tmp_path / "run.json")]) == 2
    assert "has no energybench records" in capsys.readouterr().err
