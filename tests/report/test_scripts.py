"""Runs of scripts beside the matrix: in tables, reports, comparisons and journals."""

import json
from pathlib import Path

import pytest
from support.saved_runs import cell, save
from support.scripts import measured, saved

from energybench.app.cli.main import main
from energybench.records.saved import read_runs
from energybench.report.caveats import caveats
from energybench.report.facts import facts
from energybench.report.headline import headline
from energybench.report.page import markdown, page
from energybench.report.sections import sections


@pytest.fixture(autouse=True)
def _locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path))


def test_a_script_is_a_row_of_the_report_and_claims_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path / "run.json", settings={"lr": 0.1})
    (section,) = sections(read_runs([path]))
    assert section.known == []
    assert headline(section) == (
        "What scripts took. None has a baseline beside it, so no saving is known."
    )
    (first, *_) = caveats(section)
    assert first.startswith("script: the energy is that of a whole script")
    told = dict(facts(section))
    assert told["scripts' own words"] == "lr 0.1"
    assert told.keys().isdisjoint({"data", "weights", "protocol"})
    text = markdown(read_runs([path]))
    row = next(line for line in text.splitlines() if line.startswith("| net "))
    cells = [one.strip() for one in row.strip("|").split("|")]
    assert cells[:3] == ["net", "script", "1"]
    assert "90.00 %" in cells
    assert "### Phases of scripts" in text


def test_a_page_has_scripts_beside_the_matrix(tmp_path: Path) -> None:
    script = saved(tmp_path / "script.json", name="<b>net</b>")
    matrix = save(tmp_path / "matrix.json", [cell(), cell("stego", joules=600.0)])
    text = page(read_runs([matrix, script]))
    assert "&lt;b&gt;net&lt;/b&gt;" in text
    assert "<b>net</b>" not in text
    assert "Phases of scripts" in text
    assert "40.0 %" in text


def test_the_phases_have_their_share(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with (
        measured("net", save=path) as run,
        pytest.raises(ValueError, match="x"),
        run.phase("train"),
    ):
        raise ValueError("x")
    rows = [line for line in markdown(read_runs([str(path)])).splitlines() if "| train" in line]
    assert len(rows) == 1
    assert "33.3 %" in rows[0], "one of the three steps of the trace"
    assert "interrupted" in rows[0]


def test_two_runs_of_one_script_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = saved(tmp_path / "a.json"), saved(tmp_path / "b.json", accuracy=0.8)
    assert main(["compare", one, other]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("net")]
    assert row.split()[-1] == "1.000"
    assert main(["compare", one, other, "--fail-on", "kwh:5%,accuracy:1pp"]) == 1
    assert "accuracy -10.00 pp, limit 1 pp" in capsys.readouterr().err
    assert main(["compare", one, other, "--format", "json", "--why"]) == 2
    assert main(["compare", one, other, "--why"]) == 0


def test_runs_with_other_settings_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [saved(tmp_path / f"{lr}.json", settings={"lr": lr}) for lr in (0.1, 0.2)]
    assert main(["compare", *paths]) == 0
    assert "differ in lr 0.1 / 0.2: net script seed 0" in capsys.readouterr().out
    assert main(["compare", *paths, "--across", "lr"]) == 0
    assert "1.000" in capsys.readouterr().out


def test_settings_may_have_the_names_of_a_cell_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"weights": 5, "batch_size": [1, 2], "data": {"name": "cifar10"}, "precision": None}
    paths = [saved(tmp_path / f"{name}.json", settings=told) for name in ("a", "b")]
    assert main(["compare", *paths]) == 0
    assert "1.000" in capsys.readouterr().out


def test_a_baseline_of_the_same_name_shows_a_saving_without_a_drop(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with measured("net", save=path, method="baseline") as run, run.phase("train"):
        pass
    for name in ("net", "other"):
        with measured(name, save=path, method="pruned"):
            pass
    (section,) = sections(read_runs([str(path)]))
    (saving,) = section.known
    assert saving.saved == pytest.approx(2 / 3)
    assert saving.drop is None
    assert "whether the metric dropped is not known" in saving.flags
    assert "within the tolerance" not in headline(section)


def test_a_journal_lists_scripts_and_misses_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "journal.jsonl"
    saved(path)
    with pytest.raises(KeyboardInterrupt), measured("other", save=path, method="mine"):
        raise KeyboardInterrupt
    assert main(["journal", str(path)]) == 0
    out = capsys.readouterr().out
    assert "interrupted (Ctrl-C)" in out
    assert "missing" not in out
    assert main(["export", str(path), "-o", str(tmp_path / "out.json")]) == 0
    assert len(json.loads((tmp_path / "out.json").read_text())["energybench"]["records"]) == 2


def test_the_table_of_cells_has_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "run.json")
    assert main(["show", path]) == 0
    assert "replay" in capsys.readouterr().out


def test_epochs_that_were_not_logged_are_not_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    with measured("net", save=path):
        pass
    assert main(["compare", str(path), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["runs"]["run"]["epochs"] is None
    assert main(["show", str(path), "--format", "tsv"]) == 0
    names, values = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    shown = {name.strip(): value.strip() for name, value in zip(names, values, strict=True)}
    assert (shown["seed"], shown["epochs"]) == ("0", "-")
