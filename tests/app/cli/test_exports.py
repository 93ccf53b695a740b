import json
from pathlib import Path

import pytest
from support.saved_runs import cell, save

from energybench.app.cli.main import main
from energybench.energy.carbon import CarbonIntensity

FRANCE = CarbonIntensity("FRA", 0.05, "a test")


@pytest.fixture
def run(tmp_path: Path) -> str:
    changes = {"carbon": FRANCE}
    return save(tmp_path / "run.json", [cell(changes=changes), cell("stego", changes=changes)])


def test_one_cell_is_printed_or_written(
    run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["export", run, "--cell", "resnet18-stego-seed0", "--format"]
    assert main([*asked, "boamps"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["task"]["algorithms"][0]["foundationModelName"] == "resnet18"
    card = tmp_path / "README.md"
    assert main([*asked, "huggingface", "-o", str(card)]) == 0
    assert card.read_text().startswith("---\nco2_eq_emissions:\n  emissions: ")
    assert capsys.readouterr().err == f"wrote {card}\n"
    assert main([*asked, "spdx", "-o", str(tmp_path / "run.spdx.json")]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "boamps"], "a BoAmps report is of one cell, and there are 2"),
        (["--format", "boamps", "--cell", "x"], "no cell 'x'; there are resnet18-baseline-seed0,"),
        (["--format", "spdx", "-o", "run.txt"], "run.txt does not end in .json"),
        (["--cell", "x", "-o", "new.json"], "--cell is for action-benchmark, boamps"),
        ([], "-o RUN.json is missing"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    run: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["export", run, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("energybench: ")
    assert message in line


def test_a_run_is_not_overwritten_by_its_own_export(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", run, "--format", "spdx", "-o", run]) == 2
    assert "is a run that this command reads" in capsys.readouterr().err
