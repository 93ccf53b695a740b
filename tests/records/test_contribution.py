"""Files of contributions: what they say, and that a change shows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.contributions import COMMIT, complete, own, save_contribution
from support.saved_runs import WEIGHTS

from energybench.errors import UsageError
from energybench.records.contribution import STATEMENT, check_author, contributed, digest
from energybench.records.record import Dataset, Weights
from energybench.records.saved import read_runs


def test_a_contribution_is_a_run_with_its_author(tmp_path: Path) -> None:
    records = complete()
    (run,) = read_runs([save_contribution(tmp_path / "ada.json", records)])
    assert list(run.records) == records
    assert (run.commit_id, run.measured_on) == (COMMIT, "2026-11-24")
    assert run.contribution is not None
    assert run.contribution.name == "Ada Lovelace"
    assert run.contribution.statement == STATEMENT


def test_the_published_run_has_the_same_hash_when_it_is_read_again(tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "results" / "handwriting-cpu-2core.json"
    (run,) = read_runs([str(path)])
    (again,) = read_runs([save_contribution(tmp_path / "ada.json", run.records)])
    assert again.records == run.records


Change = Callable[[dict[str, Any]], None]


def _joules(data: dict[str, Any]) -> None:
    data["energybench"]["records"][1]["phases"]["finetune"]["joules"]["cpu:0"] *= 0.5


def _left_out(data: dict[str, Any]) -> None:
    del data["energybench"]["records"][-1]


def _added(data: dict[str, Any]) -> None:
    data["energybench"]["records"].append(own("stego").to_json())


def _author(data: dict[str, Any]) -> None:
    data["contribution"]["signed_off_by"] = "Somebody Else"


def _commit(data: dict[str, Any]) -> None:
    data["commit_info"]["id"] = 40 * "f"


@pytest.mark.parametrize("change", [_joules, _left_out, _added, _author, _commit])
def test_a_file_that_was_changed_is_refused_in_a_line(change: Change, tmp_path: Path) -> None:
    path = tmp_path / "ada.json"
    save_contribution(path, complete())
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"ada\.json was changed after .* signed it off"):
        read_runs([str(path)])


def test_another_layout_of_the_same_file_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "ada.json"
    save_contribution(path, complete())
    data = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(data.items()))))
    assert read_runs([str(path)])[0].contribution is not None


def test_another_statement_and_a_broken_signature_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ada.json"
    save_contribution(path, complete())
    data = json.loads(path.read_text())
    data["contribution"]["statement"] = "I say nothing."
    data["contribution"]["sha256"] = digest(data)
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match="another statement than the one to sign"):
        read_runs([str(path)])
    wrong: list[Any] = [{"schema_version": 1}, {"schema_version": 2}, [], None, "Ada"]
    for broken in wrong:
        path.write_text(json.dumps(data | {"contribution": broken}))
        with pytest.raises(UsageError, match=r"ada\.json: .*contribution"):
            read_runs([str(path)])


def test_no_folder_and_no_host_leaves_the_machine() -> None:
    record = own(
        dataset=Dataset("folder:/home/ada/photos", "f"), weights=Weights("/home/ada/my.pt", "k")
    )
    data = contributed([record], "Ada", COMMIT, "2026-11-24", "5.3.1")
    assert "home" not in json.dumps(data)
    assert data["machine_info"]["node"] == ""
    (found,) = data["energybench"]["records"]
    assert found["dataset"]["name"] == "folder:photos"
    assert found["weights"]["source"] == "my.pt"
    kept = contributed([own()], "Ada", COMMIT, "2026-11-24", "5.3.1")["energybench"]["records"][0]
    assert (kept["dataset"]["name"], kept["weights"]["source"]) == ("digits", WEIGHTS.source)


@pytest.mark.parametrize("author", ["Ada Lovelace <ada@example.org>", "Ada Lovelace", "A. O'Neil"])
def test_an_author_has_a_name_and_an_address_only_if_given(author: str) -> None:
    assert check_author(author) == author
    data = contributed([own()], author, COMMIT, "2026-11-24", "5.3.1")
    assert data["contribution"]["signed_off_by"] == author


@pytest.mark.parametrize("wrong", ["", " ", "<ada@example.org>", "Ada <ada>", "Ada\nx", "a@b.c"])
def test_what_is_no_author_is_one_line(wrong: str) -> None:
    with pytest.raises(UsageError, match='write "Name <mail>", or the name alone'):
        check_author(wrong)
