import json
from pathlib import Path

import pytest
from support.saved_runs import cell, save
from support.scripts import measured, only, saved

from energybench.errors import UsageError
from energybench.records.journal import Journal
from energybench.records.saved import read_run, read_runs


def test_a_json_replaces_an_earlier_one_of_scripts(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.json"
    saved(path, accuracy=0.8)
    saved(path, accuracy=0.9)
    assert only(path).value == 0.9
    assert [one.name for one in path.parent.iterdir()] == ["run.json"]


def test_a_journal_takes_every_run(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    for accuracy in (0.8, 0.9):
        saved(path, accuracy=accuracy)
    assert [one.value for one in read_run(path)] == [0.8, 0.9]
    (run,) = read_runs([str(path)])
    assert run.notes == ()
    assert len(Journal(path).read().counted) == 2


def test_other_results_are_not_overwritten(tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.json"
    save(matrix, [cell()])
    other = tmp_path / "package.json"
    other.write_text("{}")
    folder = tmp_path / "folder.json"
    folder.mkdir()
    for path in (matrix, other, folder):
        with (
            pytest.raises(UsageError, match="name another file"),
            measured("net", save=path),
        ):
            pytest.fail("it ran")
    assert other.read_text() == "{}"
    assert len(read_run(matrix)) == 1


def test_an_empty_file_is_no_other_result(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.touch()
    saved(path)
    assert only(path).model == "net"


@pytest.mark.parametrize("name", ["run.json", "journal.jsonl"])
def test_a_place_that_cannot_be_written_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"cannot write .*; name another") as refused,
        measured("net", save=tmp_path / "file" / name),
    ):
        pytest.fail("it ran")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["run.json", "journal.jsonl"])
def test_a_place_that_goes_away_costs_a_line_and_no_data(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "results"
    with measured("net", save=folder / name) as run:
        run.log(accuracy=0.9)
        folder.rmdir()
        folder.touch()
    (line,) = caplog.messages
    assert line.startswith("cannot write ")
    (kept,) = (tmp_path / "cache" / "rescued").iterdir()
    assert line.endswith(f"; the run is in {kept}")
    assert only(kept).value == 0.9


def test_where_nothing_can_be_written_the_run_is_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocked = tmp_path / "results"
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(blocked / "cache"))
    with measured("net", save=blocked / "run.json") as run:
        run.log(accuracy=0.9)
        blocked.rmdir()
        blocked.touch()
    assert "the run is on standard error" in caplog.text
    path = tmp_path / "printed.json"
    path.write_text(json.dumps(json.loads(capsys.readouterr().err)))
    assert only(path).value == 0.9
