import json
from pathlib import Path

import pytest
from support.histories import dated
from support.saved_runs import cell

from energybench.errors import UsageError
from energybench.records.history import read_history
from energybench.records.saved import Run, read_runs


def read(path: Path) -> Run:
    (run,) = read_runs([str(path)])
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six runs whose names are not in the order of their days."""
    for day, name in enumerate("fbadce"):
        dated(tmp_path / "runs" / f"{name}.json", day, [cell(joules=1000.0 + day)])
    return tmp_path / "runs"


def test_the_newest_runs_before_one_are_in_the_order_of_their_dates(folder: Path) -> None:
    new = read(folder / "c.json")
    found = read_history(new, 3, [str(folder)])
    assert [run.label for run in found.runs] == ["b", "a", "d"]
    assert found.runs[0].commit == "01abcde"
    assert found.notes == ("runs later than c, left out: 1",)


def test_a_copy_counts_once_and_the_run_itself_not_at_all(folder: Path, tmp_path: Path) -> None:
    new = dated(tmp_path / "new.json", 9, [cell(joules=1009.0)])
    dated(folder / "0009_saved.json", 9, [cell(joules=1009.0)])
    dated(folder / "copy.json", 5, [cell(joules=1005.0)])
    labels = [run.label for run in read_history(read(new), 20, [str(folder)]).runs]
    assert len(labels) == 6
    assert "0009_saved" not in labels
    assert len({"copy", "e"} & set(labels)) == 1


def test_other_files_of_a_folder_do_not_count_and_a_named_one_is_refused(folder: Path) -> None:
    (folder / "package.json").write_text('{"name": "foreign"}')
    (folder / "broken.json").write_text("{")
    others = {"benchmarks": [], "datetime": "2026-11-02T00:00:00+00:00"}
    (folder / "others.json").write_text(json.dumps(others))
    new = read(folder / "e.json")
    found = read_history(new, 20, [str(folder)])
    assert len(found.runs) == 5
    assert found.notes == ("files that are no runs with a date, left out: 3",)
    for name, says in (
        ("package", "has no date"),
        ("broken", "is not JSON"),
        ("others", "no energybench"),
    ):
        with pytest.raises(UsageError, match=says):
            read_history(new, 20, [str(folder / f"{name}.json")])


def test_dates_of_other_zones_and_of_none_are_compared(tmp_path: Path) -> None:
    early = dated(
        tmp_path / "early.json", 1, [cell(joules=1.0)], datetime="2026-11-05T01:00:00+02:00"
    )
    new = dated(tmp_path / "new.json", 1, [cell(joules=2.0)], datetime="2026-11-04T23:30:00")
    assert [run.label for run in read_history(read(new), 5, [str(early)]).runs] == ["early"]
    assert read_history(read(early), 5, [str(new)]).runs == ()


def test_without_a_folder_the_user_is_told_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    new = read(dated(tmp_path / "new.json", 1, [cell()]))
    with pytest.raises(UsageError, match="name one with --history"):
        read_history(new, 5)
    dated(tmp_path / ".benchmarks" / "Linux" / "0001_a.json", 0, [cell(joules=2.0)])
    assert [run.label for run in read_history(new, 5).runs] == ["0001_a"]
