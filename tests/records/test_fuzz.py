"""Reading any file of records or journal soon ends in a value or in one line of error."""

import copy
import hashlib
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.saved_runs import cell, reading

from energybench.app.cli.main import main
from energybench.errors import EnergybenchError
from energybench.records.entry import DamagedLineError, Entry, from_line, to_line
from energybench.records.epoch import ScriptEpoch
from energybench.records.flat_keys import flat_keys
from energybench.records.journal import Journal
from energybench.records.metric import ACCURACY
from energybench.records.record import RunRecord, Script, from_json
from energybench.records.saved import read_run
from energybench.records.verdict import failure_text
from energybench.report.comparison import compare
from energybench.report.tables.compared import comparison_text
from energybench.report.tables.results import result_table

MANY = settings(
    max_examples=500, deadline=10_000, suppress_health_check=list(HealthCheck), database=None
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
    return [flat_keys(record), failure_text(record), result_table([record]), comparison_text(found)]


GOLDEN = Path(__file__).parent / "golden"
RECORD = json.loads(json.dumps(cell("stego").to_json()))
OF_A_SCRIPT = Script(
    {"lr": 0.1}, {"loss": 0.5}, ACCURACY, 0.9, [ScriptEpoch(1, 2.0, 50.0, {"loss": 0.5})]
)
SCRIPT = cell(
    "script", changes={"script": OF_A_SCRIPT, "phases": {"run": reading(50.0, 2.0, "rapl")}}
)
RECORDS = [RECORD, json.loads(json.dumps(SCRIPT.to_json()))]
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
    whole = data.draw(st.sampled_from(RECORDS))
    record = changed(whole, paths_of(whole), data)
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
    found = outcome(lambda: read_run(path))
    assert isinstance(found, list) or (str(path) in found and "\n" not in found)


@given(pieces=st.lists(st.binary(max_size=60) | st.just(b'{"sha256":"'), max_size=6))
@MANY
def test_a_journal_with_anything_in_it(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.jsonl"
    path.write_bytes(b"\n".join(pieces))
    found = outcome(lambda: Journal(path).read().entries)
    assert found == () or str(path) in found


def lines_of(entry: Any) -> bytes:
    """A journal of a whole cell and of `entry`, both with right checksums."""
    whole = to_line(Entry("whole", cell(), BENCHMARK, "2026"))
    content = json.dumps(entry).encode()
    checksum = hashlib.sha256(content).hexdigest().encode()
    return whole + b'{"sha256":"' + checksum + b'","entry":' + content + b"}\n"


NUMBERS: st.SearchStrategy[Any] = st.sampled_from(
    [1e300, -1e300, 10**400, 10**18, -1, 0, 1e-320, float("nan"), float("inf"), True, "9" * 5000]
)


@given(data=st.data())
@settings(MANY, max_examples=60)
def test_commands_on_a_journal_with_anything_under_a_right_checksum(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    entry = changed(ENTRY, ENTRY_PATHS, data) if data.draw(st.booleans()) else data.draw(anything)
    whole = copy.deepcopy(ENTRY) if data.draw(st.booleans()) else entry
    if whole is not entry:
        path = data.draw(st.sampled_from(ENTRY_PATHS))
        parent: Any = whole
        for step in path[:-1]:
            parent = parent[step]
        parent[path[-1]] = data.draw(NUMBERS)
    journal = tmp_path_factory.getbasetemp() / "commands.jsonl"
    journal.write_bytes(lines_of(whole))
    for command in (["journal"], ["show"], ["compare"], ["export", "-o", f"{journal}.json"]):
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            status = main([command[0], str(journal), *command[1:]])
        newer = "upgrade energybench" in said.getvalue()
        assert status == (2 if newer else 0), said.getvalue()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("seed", True, "seed: Input should be a valid integer"),
        ("seed", -1, "seed is -1, not a number of at least 0"),
        ("phases.finetune.duration_s", 1e300, "duration_s is larger than any measurement"),
        ("phases.finetune.duration_s", True, "duration_s: Input should be a valid number"),
        ("phases.finetune.joules.cpu:0", -5.0, "joules.cpu:0 is -5.0, not a number of at least 0"),
        ("phases.finetune.joules.cpu:0", 1e300, "joules.cpu:0 is larger than any measurement"),
        ("phases.finetune.joules.cpu:0", 10**400, "joules.cpu:0 is larger than any measurement"),
        ("epochs.0.items_per_s", 0, "items_per_s is 0.0, not a number above 0"),
        ("epochs.0.validation_metric", -0.5, "validation_metric is -0.5, not an accuracy, 0 to 1"),
        ("test.value", 1.5, "test.value is 1.5, not an accuracy, 0 to 1"),
        ("test.items", True, "test.items: Input should be a valid integer"),
        ("protocol.pue", 1e308, "protocol.pue is larger than any measurement"),
        ("protocol.tolerance", "1", "protocol.tolerance: Input should be a valid number"),
        ("dataset.details.classes", 1e300, "dataset.details.classes is larger than any"),
    ],
)
def test_a_number_that_no_measurement_has_is_refused_by_name(
    field: str, value: object, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = copy.deepcopy(RECORD)
    *outer, last = field.split(".")
    parent: Any = record
    for step in outer:
        parent = parent[int(step) if step.isdigit() else step]
    parent[last] = value
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"benchmarks": [{"extra_info": {"energybench": record}}]}))
    for command in (["show"], ["report", "--markdown"], ["plot", "saving", "-o", "x.svg"]):
        arguments = [*command[:2], str(path), *command[2:]] if command[0] == "plot" else None
        assert main(arguments or [*command, str(path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"energybench: {path}: not an energybench record: ")
        assert says in line
