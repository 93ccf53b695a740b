import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.journals import BENCHMARK, entry
from support.saved_runs import cell, failed

from energybench.errors import UsageError
from energybench.records.entry import DamagedLineError, from_line, to_line
from energybench.records.journal import Contents, Entry, Journal
from energybench.records.keeper import Keeper

MODULES = os.pathsep.join(map(str, Path(__file__).parents[:2]))
"""Where `test_journal` and `support` are imported from."""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "deep" / "journal.jsonl")


def test_what_goes_in_comes_out(journal: Journal) -> None:
    assert journal.read() == Contents((), ())
    entries = (entry("a"), entry("b", cell("stego", 3, epochs=9)), entry("c", failed("prune")))
    for one in entries:
        journal.append(one)
    found = journal.read()
    assert found.damaged == ()
    assert [one.record.to_json() for one in found.entries] == [
        one.record.to_json() for one in entries
    ]
    assert found.entries[0].benchmark == BENCHMARK
    for line in journal.path.read_text().splitlines():
        assert set(json.loads(line)) == {"sha256", "entry"}


def test_the_first_that_ended_well_counts(journal: Journal) -> None:
    cut = {"status": "interrupted", "error": "interrupted"}
    for record in (cell(changes=cut), cell(joules=1.0), cell(joules=2.0), cell(changes=cut)):
        journal.append(entry("a", record))
    (counted,) = journal.read().counted.values()
    assert counted.record.kwh == pytest.approx(1.0 / 3.6e6)


def test_a_cell_that_was_compared_later_counts_as_compared(journal: Journal) -> None:
    early = cell("stego", joules=1.0, changes={"reference_value": None})
    for record in (early, cell("stego", joules=2.0), replace(early, reference_value=0.9)):
        journal.append(entry("a", record))
    (counted,) = journal.read().counted.values()
    assert counted.record.kwh == pytest.approx(1.0 / 3.6e6)
    assert counted.record.reference_value == 0.9


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.decode().encode("utf-16"),
        lambda data: data.decode().encode("utf-16-le"),
        gzip.compress,
    ],
    ids=["CRLF", "mark", "UTF-16", "UTF-16 without a mark", "gzip"],
)
def test_a_journal_that_went_through_other_programs_is_whole(
    journal: Journal, change: Callable[[bytes], bytes]
) -> None:
    journal.append(entry("a"))
    journal.append(entry("b", cell("stego")))
    journal.path.write_bytes(change(journal.path.read_bytes()))
    found = journal.read()
    assert found.damaged == ()
    assert [one.key for one in found.entries] == ["a", "b"]


@pytest.mark.parametrize("kept", [1, 50, -2, -1])
def test_a_torn_last_line_costs_that_line_only(journal: Journal, kept: int) -> None:
    journal.append(entry("a"))
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + whole[:kept])
    torn = kept != -1  # without its newline a line is whole
    assert len(journal.read().damaged) == torn
    journal.append(entry("b"))
    found = journal.read()
    assert [one.key for one in found.entries] == (["a", "b"] if torn else ["a", "a", "b"])
    assert [phrase.split(":")[0] for phrase in found.damaged] == ["line 2"] * torn


def test_a_corrupted_middle_line_costs_that_line_only(journal: Journal) -> None:
    for key in "abc":
        journal.append(entry(key))
    lines = journal.path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'"epoch":1', b'"epoch":7', 1)
    journal.path.write_bytes(b"\n".join(lines))
    found = journal.read()
    assert [one.key for one in found.entries] == ["a", "c"]
    assert found.damaged == ("line 2: its checksum is wrong",)


@given(
    position=st.integers(0, 10**6),
    change=st.integers(1, 255),
)
@settings(max_examples=300, deadline=None)
def test_no_changed_byte_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, position: int, change: int
) -> None:
    journal = Journal(tmp_path_factory.getbasetemp() / "flipped.jsonl")
    journal.path.unlink(missing_ok=True)
    journal.append(entry("a"))
    data = bytearray(journal.path.read_bytes())
    place = position % (len(data) - 1)  # a changed final newline leaves a whole line
    data[place] ^= change
    journal.path.write_bytes(bytes(data))
    found = journal.read()
    assert found.entries == ()
    assert found.damaged


@given(data=st.binary(max_size=400))
@settings(max_examples=500, deadline=None)
def test_whatever_is_in_the_file_reading_it_ends_well(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "anything.jsonl"
    path.write_bytes(data)
    with suppress(UsageError):  # of an archive
        assert Journal(path).read().entries == ()


def line_of(payload: bytes) -> bytes:
    """A line with the right checksum, whatever the payload is."""
    checksum = hashlib.sha256(payload).hexdigest().encode()
    return b'{"sha256":"' + checksum + b'","entry":' + payload + b"}\n"


def payload(**changes: Any) -> bytes:
    """The payload of a whole entry with other values; Ellipsis leaves a field out."""
    data = json.loads(to_line(entry()))["entry"] | changes
    return json.dumps({key: one for key, one in data.items() if one is not ...}).encode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{}", "its entry has no schema_version"),
        (b"5", "its entry is not an object"),
        (b"[]", "its entry is not an object"),
        (b"null", "its entry is not an object"),
        (b"{", "its entry is not JSON"),
        (b"[" * 100_000, "its entry is not JSON"),
        (b"1" * 10_000, "its entry is not"),
        (b"\xff", "its entry is not JSON"),
        (payload(schema_version=True), "its entry has no schema_version"),
        (payload(schema_version="2"), "its entry has no schema_version"),
        (payload(key=...), "its key is not a text"),
        (payload(key=7), "its key is not a text"),
        (payload(written_at=None), "its written_at is not a text"),
        (payload(benchmark={}), "its benchmark is not an entry of pytest-benchmark's"),
        (payload(benchmark=[]), "its benchmark is not an entry of pytest-benchmark's"),
        (
            payload(benchmark={"extra_info": {}, "stats": {"total": "x"}}),
            "its benchmark is not an entry of pytest-benchmark's",
        ),
        (payload(record=...), "not an energybench record: it has no schema_version"),
        (payload(record=[]), "not an energybench record: it has no schema_version"),
        (payload(record={"schema_version": 5}), "not an energybench record: model: "),
        (payload(record={"schema_version": 0}), "no migration from schema version 0"),
    ],
    ids=range(20),
)
def test_a_right_checksum_of_wrong_contents_is_a_damaged_line(
    journal: Journal, content: bytes, says: str
) -> None:
    journal.append(entry("a"))
    with journal.path.open("ab") as file:
        file.write(line_of(content))
    journal.append(entry("b"))
    found = journal.read()
    assert [one.key for one in found.entries] == ["a", "b"]
    (phrase,) = found.damaged
    assert phrase.startswith(f"line 2: {says}")
    assert "\n" not in phrase
    (complaint,) = Keeper(journal, resume=True).complaints()
    assert complaint.startswith(f"{journal.path}, line 2: {says}")


def test_a_line_that_is_whole_is_read_though_its_cell_was_not_timed() -> None:
    untimed = from_line(line_of(payload(benchmark=None))[:-1])
    assert isinstance(untimed, Entry)
    assert untimed.benchmark is None
    with pytest.raises(DamagedLineError, match="not a whole entry"):
        from_line(b"")


def test_cells_of_an_older_journal_are_named_when_they_cannot_be_resumed(journal: Journal) -> None:
    for method in ("baseline", "stego"):
        record = cell(method)
        journal.append(Entry(f"old {method}", record, BENCHMARK, "2025", schema_version=1))
    journal.append(entry("new", cell("stego")))
    found = journal.read()
    assert (len(found.entries), found.outdated, found.damaged) == (3, 1, ())
    keeper = Keeper(journal, resume=True)
    assert keeper.complaints() == [
        f"{journal.path}: not resumed are 1 cells of an older energybench, whose keys no longer "
        "match; they run again"
    ]
    assert Keeper(journal, resume=False).complaints() == []
    journal.append(entry("also new", cell("baseline")))
    assert Keeper(journal, resume=True).complaints() == []


def test_an_old_line_with_a_record_of_its_time_is_read(journal: Journal) -> None:
    golden = json.loads((Path(__file__).parent / "golden" / "run-v4.json").read_text())
    old = golden["benchmarks"][0]["extra_info"]["energybench"]
    journal.append(entry("a"))
    with journal.path.open("ab") as file:
        file.write(line_of(payload(schema_version=1, key="old", record=old)))
    _, found = journal.read().entries
    assert (found.schema_version, found.record.method) == (1, "lowrank")
    assert found.record.metric is not None


def test_an_entry_of_a_newer_energybench_is_refused(journal: Journal) -> None:
    newer = cell(changes={"schema_version": 99})
    journal.append(entry("a", newer))
    with pytest.raises(UsageError, match=r"journal\.jsonl, line 1: .*upgrade energybench"):
        journal.read()


def test_a_line_of_a_newer_journal_is_refused(journal: Journal) -> None:
    journal.append(Entry("a", cell(), None, "2030", schema_version=99))
    with pytest.raises(UsageError, match=r"journal\.jsonl, line 1: .*upgrade energybench"):
        journal.read()


def test_runs_on_one_journal_do_not_mix_their_lines(journal: Journal) -> None:
    code = (
        "import sys\n"
        "from test_journal import entry\n"
        "from energybench.records.journal import Journal, Path\n"
        "for number in range(16):\n"
        "    Journal(Path(sys.argv[1])).append(entry(f'{sys.argv[2]}-{number}'))\n"
    )
    path = os.environ | {"PYTHONPATH": MODULES}
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(journal.path), str(run)], env=path)
        for run in range(4)
    ]
    assert [run.wait() for run in runs] == [0] * 4
    found = journal.read()
    assert found.damaged == ()
    assert set(found.counted) == {f"{run}-{number}" for run in range(4) for number in range(16)}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match=r"cannot write the journal .*Permission denied"):
        Journal(tmp_path / "journal.jsonl").append(entry())


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the journal"):
        Journal(tmp_path / "file" / "journal.jsonl").append(entry())
    with pytest.raises(UsageError, match="cannot read"):
        Journal(tmp_path).read()


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    """In a process that may write no file larger than what is there and half a line."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(entry("a"))
    before = journal.path.read_bytes()
    code = (
        "import resource, signal, sys\n"
        "from test_journal import entry\n"
        "from energybench.errors import UsageError\n"
        "from energybench.records.journal import Journal, Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) * 3 // 2},) * 2)\n"
        "try:\n"
        f"    Journal(Path({str(journal.path)!r})).append(entry('b'))\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    path = {"PYTHONPATH": MODULES}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | path
    )
    assert "cannot write the journal" in done.stdout
    assert journal.path.read_bytes() == before


def test_a_damaged_line_says_so_in_one_printable_line(journal: Journal) -> None:
    record = json.loads(json.dumps(cell().to_json()))
    record["phases"]["\x1b[2J\n"] = {"duration_s": "long"}
    journal.append(entry("a"))
    with journal.path.open("ab") as file:
        file.write(line_of(payload(record=record)))
    (phrase,) = journal.read().damaged
    assert "\\x1b[2J" in phrase
    assert phrase.isprintable()
