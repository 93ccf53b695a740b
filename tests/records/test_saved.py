import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from support.saved_runs import cell, save

from energybench.errors import UsageError
from energybench.records.entry import Entry, to_line
from energybench.records.saved import read_run, read_runs


def test_records_and_what_is_beside_them(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", [cell(), cell("stego")], other={"x": 1})
    (run,) = read_runs([path])
    assert [record.method for record in run.records] == ["baseline", "stego"]
    assert run.label == "a"
    assert run.extras == ({"other": {"x": 1}},)


def test_a_file_without_records_where_none_are_needed(tmp_path: Path) -> None:
    path = save(tmp_path / "step.json", [], joules_per_image=1.0)
    (run,) = read_runs([path], need_records=False)
    assert run.records == ()
    with pytest.raises(UsageError, match="has no energybench records"):
        read_runs([path])


def test_labels_tell_files_of_one_name_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    names = [save(tmp_path / place / "run.json", [cell()]) for place in ("x", "y")]
    names.append(save(tmp_path / "other.json", [cell()]))
    assert [run.label for run in read_runs(names)] == ["x/run", "y/run", "other"]


def test_the_same_file_twice_is_one_run(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", [cell()])
    assert len(read_runs([path, path])) == 1


def test_stored_runs_by_their_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stored = tmp_path / ".benchmarks" / "Linux-CPython-3.11-64bit"
    stored.mkdir(parents=True)
    save(stored / "0001_abc_20260101_000000.json", [cell()])
    save(stored / "0002_abc_20260102_000000.json", [cell("stego")])
    (run,) = read_runs(["0002"])
    assert run.records[0].method == "stego"
    with pytest.raises(UsageError, match=r"no run '0003' in \.benchmarks/"):
        read_runs(["0003"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*gone\.json: No such file"):
        read_run(tmp_path / "gone.json")
    with pytest.raises(UsageError, match="cannot read"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"null",
        b"7",
        b"[]",
        b"{}",
        b'{"benchmarks": null}',
        b'{"benchmarks": [3]}',
        b'{"benchmarks": [{"extra_info": null}]}',
        b'{"benchmarks": [{"extra_info": {"energybench": 3}}]}',
        b'{"benchmarks": [], "energybench": []}',
        b'{"benchmarks": [], "energybench": {"records": 3}}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_whatever_is_in_the_file_the_error_names_it(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(damaged)
    with pytest.raises(UsageError) as caught:
        read_run(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_not_half_read(tmp_path: Path) -> None:
    whole = Path(save(tmp_path / "run.json", [cell(), cell("stego")])).read_bytes()
    for size in range(0, len(whole) - 1, 97):
        (tmp_path / "run.json").write_bytes(whole[:size])
        with pytest.raises(UsageError, match="is not JSON"):
            read_run(tmp_path / "run.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.decode().encode("utf-16"),
        lambda data: data.decode().encode("utf-16-le"),
        lambda data: data.decode().encode("utf-16-be"),
        gzip.compress,
        lambda data: gzip.compress(b"\xef\xbb\xbf" + data),
    ],
    ids=["mark", "UTF-16", "little-endian", "big-endian", "gzip", "gzip of a mark"],
)
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_a_file_that_went_through_other_programs_is_read(
    tmp_path: Path, change: Callable[[bytes], bytes], name: str
) -> None:
    path = Path(save(tmp_path / name, [cell("stego")]))
    path.write_bytes(change(path.read_bytes()))
    assert [record.method for record in read_run(path)] == ["stego"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (bz2.compress(b"{}"), "is packed by bzip2; unpack it"),
        (lzma.compress(b"{}"), "is packed by xz; unpack it"),
        (b"PK\x03\x04rest", "is a ZIP archive; unpack it"),
        (gzip.compress(b"{}" * 1000)[:-9], "cannot unpack "),
    ],
    ids=["bzip2", "xz", "ZIP", "torn gzip"],
)
def test_an_archive_is_called_one(tmp_path: Path, data: bytes, says: str) -> None:
    for name in ("a.json", "a.jsonl"):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(UsageError, match=says):
            read_run(path)


def test_a_packed_journal_is_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl.gz"
    path.write_bytes(gzip.compress(to_line(Entry("a", cell(), None, "2026"))))
    assert [record.method for record in read_run(path)] == ["baseline"]


def test_a_cell_whose_baseline_does_not_count_is_told(tmp_path: Path) -> None:
    first, second = cell(joules=1000.0), cell(joules=900.0)
    judged = cell("stego", joules=500.0, changes={"reference_id": second.id})
    path = tmp_path / "journal.jsonl"
    entries = (
        Entry("a", first, None, ""),
        Entry("a", second, None, ""),
        Entry("b", judged, None, ""),
    )
    path.write_bytes(b"".join(map(to_line, entries)))
    (run,) = read_runs([str(path)])
    assert [record.kwh for record in run.records if record.method == "baseline"] == [first.kwh]
    (note,) = run.notes
    assert "resnet18 stego seed 0 has its drop from a second baseline" in note
