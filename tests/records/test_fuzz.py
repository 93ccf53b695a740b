"""Reading any file of records or journal soon ends in a value or in one line of error."""

import copy
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.saved_runs import cell

from energybench.errors import EnergybenchError
from energybench.records.entry import DamagedLineError, Entry, from_line, to_line
from energybench.records.journal import Journal
from energybench.records.record import RunRecord, from_json
from energybench.records.saved import read_run
from energybench.records.verdict import failure_text
from energybench.report.comparison import compare
from energybench.report.tables.compared import comparison_text
from energybench.report.tables.results import result_table

MANY = settings(
    max_examples=1500, deadline=10_000, suppress_health_check=list(HealthCheck), database=None
)
WHOLE = json.dumps({"benchmarks": [{"extra_info": {"energybench": cell().to_json()}}]}).encode()

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def outcome(work: Callable[[], Any]) -> Any:
    """What `work` returns, or the one line that it says instead."""
    try:
        return work()
    except (DamagedLineError, EnergybenchError) as error:
        return str(error)


def paths_of(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in nested dicts and lists there is something to replace."""
    found = [path] if path else []
    if isinstance(data, dict):
        for key, value in data.items():
            found += paths_of(value, (*path, key))
    elif isinstance(data, list):
        for place, value in enumerate(data):
            found += paths_of(value, (*path, place))
    return found


def changed(whole: Any, paths: list[tuple[Any, ...]], data: st.DataObject) -> Any:
    """A copy of `whole` with anything in one to three of `paths`, or nothing there."""
    whole = copy.deepcopy(whole)
    for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3)):
        parent: Any = whole
        try:
            for step in path[:-1]:
                parent = parent[step]
            if data.draw(st.booleans()):
                parent[path[-1]] = data.draw(anything)
            else:
                del parent[path[-1]]
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change took that place away
    return whole


def shown(record: RunRecord) -> list[Any]:
    """All that is said of a record in text."""
    found = compare({"a": [record]})
    return [record.headline(), failure_text(record), result_table([record]), comparison_text(found)]


GOLDEN = Path(__file__).parent / "golden"
RECORD = json.loads(json.dumps(cell("stego").to_json()))
PATHS = paths_of(RECORD)
OLD = [
    json.loads(path.read_text())["benchmarks"][0]["extra_info"]["energybench"]
    for path in sorted(GOLDEN.glob("run-v*.json"))
]
BENCHMARK = {"name": "test_finetune", "stats": {"total": 2.5}, "extra_info": {"kwh": 1.0}}
ENTRY = json.loads(to_line(Entry("key", cell("stego"), BENCHMARK, "2026")))["entry"]
ENTRY_PATHS = paths_of(ENTRY)


@given(data=st.data())
@MANY
def test_a_record_with_anything_in_any_place(data: st.DataObject) -> None:
    record = changed(RECORD, PATHS, data)
    found = outcome(lambda: from_json(record))
    if isinstance(found, RunRecord):
        found = outcome(lambda: shown(found))
    assert not isinstance(found, str) or "\n" not in found


@given(data=st.data())
@MANY
def test_a_record_of_an_older_version_with_anything_in_any_place(data: st.DataObject) -> None:
    old = data.draw(st.sampled_from(OLD))
    found = outcome(lambda: from_json(changed(old, paths_of(old), data)))
    assert isinstance(found, RunRecord) or "\n" not in found


@given(data=st.data())
@MANY
def test_a_journal_line_with_a_right_checksum_and_anything_in_it(data: st.DataObject) -> None:
    entry = changed(ENTRY, ENTRY_PATHS, data) if data.draw(st.booleans()) else data.draw(anything)
    content = json.dumps(entry).encode()
    checksum = hashlib.sha256(content).hexdigest().encode()
    line = b'{"sha256":"' + checksum + b'","entry":' + content + b"}"
    found = outcome(lambda: from_line(line))
    if isinstance(found, Entry):
        assert isinstance(found.key, str)
        assert found.benchmark is None or found.benchmark["stats"]["total"] is not None
    else:
        assert "\n" not in found


@given(data=anything)
@MANY
def test_anything_for_a_record(data: Any) -> None:
    with pytest.raises(EnergybenchError):
        from_json(data)


@given(cut=st.integers(0, len(WHOLE)), junk=st.binary(max_size=20), at=st.integers(0, len(WHOLE)))
@MANY
def test_a_file_with_anything_in_it(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes, at: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_bytes((WHOLE[:at] + junk + WHOLE[at:])[: cut or None])
    start = time.perf_counter()
    found = outcome(lambda: read_run(path))
    assert isinstance(found, list) or (str(path) in found and "\n" not in found)
    assert time.perf_counter() - start < 1.0


@given(pieces=st.lists(st.binary(max_size=60) | st.just(b'{"sha256":"'), max_size=6))
@MANY
def test_a_journal_with_anything_in_it(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.jsonl"
    path.write_bytes(b"\n".join(pieces))
    found = outcome(lambda: Journal(path).read().entries)
    assert found == () or str(path) in found
