from pathlib import Path

import pytest
from support.journals import BENCHMARK, entry
from support.saved_runs import cell, failed

from energybench.records.entry import to_line
from energybench.records.journal import Journal
from energybench.records.keeper import Keeper


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "deep" / "journal.jsonl")


def test_what_another_session_adds_is_found_at_the_next_look(journal: Journal) -> None:
    journal.append(entry("a"))
    keeper = Keeper(Journal(journal.path), resume=True)
    assert keeper.earlier("b") is None
    journal.append(entry("b", cell("stego")))
    found = keeper.earlier("b")
    assert found is not None
    assert found.record.method == "stego"
    with journal.path.open("ab") as file:
        file.write(to_line(entry("c"))[:100])  # as another process writes it
    assert keeper.earlier("c") is None
    journal.path.write_bytes(journal.path.read_bytes()[:-100] + to_line(entry("c")))
    assert keeper.earlier("c") is not None
    journal.path.write_bytes(b"")
    assert keeper.earlier("a") is None, "another file by that name"


def test_a_session_is_told_that_its_cells_do_not_count(journal: Journal) -> None:
    journal.append(entry("a", cell(joules=1.0)))
    again = Keeper(journal, resume=False)
    again.keep("a", cell(joules=2.0))
    again.keep("b", cell("stego"))
    (line,) = again.complaints()
    assert line.startswith(f"{journal.path} had 1 of these cells already, and the first result")


def test_a_session_takes_what_ended_and_not_what_was_interrupted(journal: Journal) -> None:
    ended = Keeper(journal, resume=False)
    ended.keep("a", cell(), BENCHMARK | {"extra_info": {"kwh": 1.0, "energybench": {}}})
    ended.keep("b", failed("stego"))
    ended.keep("c", cell(changes={"status": "interrupted", "error": "interrupted"}))
    assert ended.complaints() == []
    resumed = Keeper(journal, resume=True)
    first, second = resumed.earlier("a"), resumed.earlier("b")
    assert first is not None
    assert first.benchmark == BENCHMARK
    assert second is not None
    assert second.record.status == "failed"
    assert resumed.earlier("c") is None
    assert resumed.earlier("d") is None
    assert resumed.finished("a") is not None
    assert resumed.finished("b") is None
    assert Keeper(journal, resume=False).earlier("a") is None


def test_what_cannot_be_written_waits_for_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    folder.write_text("not a folder yet")
    keeper = Keeper(Journal(folder / "journal.jsonl"), resume=False)
    keeper.keep("a", cell())
    (complaint,) = keeper.complaints()
    assert complaint.startswith("1 cells are not in the journal: cannot write the journal")
    folder.unlink()
    keeper.keep("b", cell())
    assert keeper.complaints() == []
    assert list(Journal(folder / "journal.jsonl").read().counted) == ["a", "b"]


def test_damaged_lines_are_named_to_whom_resumes(journal: Journal) -> None:
    journal.append(entry("a"))
    with journal.path.open("ab") as file:
        file.write(b"half a li")
    (line,) = Keeper(journal, resume=True).complaints()
    assert line == f"{journal.path}, line 2: not a whole entry; that cell ran again"


def test_a_session_that_resumes_is_told_what_another_measured_first(journal: Journal) -> None:
    ours = Keeper(journal, resume=True)
    Journal(journal.path).append(entry("a", cell(joules=1.0)))
    ours.keep("a", cell(joules=2.0))
    assert ours.complaints() == ["another session measured 1 of these cells first, and those count"]
