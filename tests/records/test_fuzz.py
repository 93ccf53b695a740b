"""Whatever stands in a file of records or a journal: a value or one line of ours, and soon."""

import copy
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.saved_runs import cell

from energybench.errors import EnergybenchError
from energybench.records.journal import Journal
from energybench.records.record import RunRecord, from_json
from energybench.records.saved import read_run
from energybench.report.comparison import compare

MANY = settings(
    max_examples=4000, deadline=10_000, suppress_health_check=list(HealthCheck), database=None
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
    except EnergybenchError as error:
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


RECORD = json.loads(json.dumps(cell("stego").to_json()))
PATHS = paths_of(RECORD)


@given(data=st.data())
@MANY
def test_a_record_with_anything_in_any_place(data: st.DataObject) -> None:
    record = copy.deepcopy(RECORD)
    for path in data.draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)):
        parent: Any = record
        try:
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = data.draw(anything)
        except (TypeError, KeyError, IndexError):
            continue  # an earlier change took that place away
    found = outcome(lambda: from_json(record))
    if isinstance(found, RunRecord):
        found = outcome(lambda: (compare({"a": [found]}), found.headline()))
    assert not isinstance(found, str) or "\n" not in found


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
    assert Journal(path).read().entries == ()
