import json
from pathlib import Path
from typing import Any

import pytest
from support.saved_runs import cell, reading, save

from energybench.app.cli.main import main
from energybench.energy.spans import Span
from energybench.records.record import RunRecord, from_json

HEAD = "DATETIME,CARBON_INTENSITY\n"
KWH = 1000.0 * 1.5 / 3.6e6
"""Of 1,000 J and a PUE of 1.5."""


def measured(began_at: str = "2026-11-28T01:15:00.000+00:00", seconds: float = 1800.0) -> RunRecord:
    spans = {"finetune": [Span(began_at, seconds, 1000.0)]}
    phases = {"finetune": reading(1000.0, seconds, "rapl")}
    return cell(changes={"spans": spans, "phases": phases}, pue=1.5)


def intensities(tmp_path: Path) -> str:
    path = tmp_path / "gb.csv"
    path.write_text(f"{HEAD}2026-11-28T01:00,100\n2026-11-28T01:30,200\n")
    return str(path)


def records(path: Path) -> list[dict[str, Any]]:
    return [one["extra_info"] for one in json.loads(path.read_text())["benchmarks"]]


def test_a_grid_is_added_once_its_hours_are_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, new = save(tmp_path / "run.json", [measured()], kwh=3.0), tmp_path / "new.json"
    asked = ["--intensity-file", intensities(tmp_path), "--embodied-grams-per-hour", "10"]
    assert main(["emissions", run, *asked, "-o", str(new)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0].startswith(
        "CO2e by the hour: GB, Great Britain's system operator, direct, gb.csv ("
    )
    assert told.out.splitlines()[1] == (
        "making the machine, not in CO2e: 5 g for these cells, at 10 g an hour as declared"
    )
    assert told.err == f"wrote 1 cells to {new}\n"
    extra, other = records(new)
    assert extra["kg_co2e"] == pytest.approx(KWH * 0.15)
    assert extra["kg_co2e_embodied"] == pytest.approx(0.005)
    assert from_json(extra["energybench"]).kg_co2e == extra["kg_co2e"]
    assert other == {"kwh": 3.0}
    assert records(Path(run))[0].keys() == {"energybench"}, "the run itself stays as it is"


def test_a_gap_keeps_the_cell_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = measured("2026-11-28T01:45:00.000+00:00")
    run, new = save(tmp_path / "run.json", [late, cell("stego")]), tmp_path / "new.json"
    assert main(["emissions", run, "--intensity-file", intensities(tmp_path), "-o", str(new)]) == 0
    assert capsys.readouterr().out == (
        "no CO2e of resnet18 baseline seed 0 and 1 more: gb.csv has no intensity at 2026-11-28 "
        "02:00 UTC; energybench emissions adds it from a file that has it\n"
    )
    extra, _ = records(new)
    assert extra["kg_co2e"] is None
    found = from_json(extra["energybench"])
    assert found.kwh == pytest.approx(KWH)
    assert found.intensities["finetune"].reason == (
        "gb.csv has no intensity at 2026-11-28 02:00 UTC"
    )
    assert main(["show", str(new)]) == 0
    assert "no CO2e of resnet18 baseline seed 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a grid with --intensity-file or --country, or --embodied-grams-per-hour"),
        (["--intensity-zone", "FR"], "belong to an intensity-file; name one"),
        (["--intensity-file", "none.csv"], "--intensity-file: no file none.csv"),
        (["--embodied-grams-per-hour", "-1"], "it must be at least 0"),
    ],
)
def test_what_gives_no_emissions_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    run = save(tmp_path / "run.json", [measured()])
    assert main(["emissions", run, *arguments, "-o", str(tmp_path / "new.json")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "new.json").exists()


def test_two_grids_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = save(tmp_path / "run.json", [measured()]), intensities(tmp_path)
    asked = ["--country", "FRA", "--intensity-file", file, "-o", str(tmp_path / "new.json")]
    assert main(["emissions", run, *asked]) == 2
    assert "country and intensity-file both give an intensity" in capsys.readouterr().err
