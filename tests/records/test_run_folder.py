from pathlib import Path

import pytest
from support.journals import entry
from support.plans import event, plan
from support.saved_runs import cell

from energybench.config import Cell
from energybench.records.entry import DamagedLineError, Entry, from_line, to_line
from energybench.records.event import ENDED, REFUSED, Event, Origin
from energybench.records.journal import Journal
from energybench.records.keeper import Keeper
from energybench.records.run_folder import is_run_folder, read_contents
from energybench.records.saved import read_runs
from energybench.runs.clusters.plan import RunFolder


@pytest.mark.parametrize(
    "line",
    [
        event(cell=Cell("tiny", "stego", 3)),
        event(ENDED, origin=Origin("n2")),
        event(REFUSED, reason="no meter", origin=Origin("n2", "7_1", 2)),
        Entry("k", cell(), None, "2026", origin=Origin("n1", "12_3", 1)),
        Entry("k", cell(), None, "2026"),
    ],
)
def test_a_line_is_read_as_it_was_written(line: Entry | Event) -> None:
    assert from_line(to_line(line).rstrip(b"\n")) == line


def test_an_unknown_event_is_a_damaged_line() -> None:
    with pytest.raises(DamagedLineError, match="an event is called sung; known: started"):
        from_line(to_line(event("sung")).rstrip(b"\n"))


def test_an_ordinary_session_notes_no_event(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    Keeper(journal, resume=False).note(ENDED)
    assert not journal.path.exists()
    Keeper(journal, resume=False, origin=Origin("n1")).note(ENDED)
    assert [one.what for one in journal.read().events] == [ENDED]


def test_the_journals_of_a_run_read_as_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write(plan())
    for task in plan().tasks:
        journal = Journal(folder.journal(task))
        journal.append(event(cell=Cell("tiny", "baseline", task.block.seed)))
        journal.append(entry(f"k{task.number}", cell(seed=task.block.seed)))
    path = folder.journal(plan().tasks[1])
    path.write_bytes(path.read_bytes() + b"torn")
    assert is_run_folder(tmp_path)
    contents = read_contents(tmp_path)
    assert list(contents.counted) == ["k0", "k1"]
    assert len(contents.events) == 2
    assert contents.damaged == ("0001-tiny-seed1.jsonl, line 3: not a whole entry",)
    (run,) = read_runs([str(tmp_path)])
    assert [record.seed for record in run.records] == [0, 1]


def test_reading_goes_on_where_it_ended_with_events_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(event())
    known = journal.read()
    journal.append(entry("k"))
    journal.append(event(ENDED))
    found = journal.read(known)
    assert [one.what for one in found.events] == ["started", ENDED]
    assert [one.key for one in found.entries] == ["k"]
    assert found == journal.read()
