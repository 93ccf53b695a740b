"""The text file of node_exporter, as prometheus_client's parser reads it."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.saved_runs import DATASET, cell, regression

from energybench.app.exporting.measurements import Measurement, of_call, of_record
from energybench.app.exporting.prometheus import TextFile, exposition
from energybench.errors import UsageError
from energybench.records.record import Dataset

Key = tuple[str, frozenset[tuple[str, str]]]


def parsed(text: str) -> dict[Key, float]:
    """Sample -> value; every family is a gauge with a help, and no sample has a timestamp."""
    samples: dict[Key, float] = {}
    names = []
    for family in text_string_to_metric_families(text):
        names.append(family.name)
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.timestamp is None
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples, "node_exporter refuses a sample that is there twice"
            samples[key] = sample.value
    assert len(names) == len(set(names))
    return samples


def as_parsed(measurements: list[Measurement]) -> dict[Key, float]:
    return {(one.quantity.family, frozenset(one.labels.items())): one.value for one in measurements}


def test_the_parser_reads_what_was_measured() -> None:
    measured = [
        *of_record(cell("prune", 1)),
        *of_record(regression("prune", 2)),
        *of_call("test_a.py::test_b", 0.1, 1e-7, 3.0, "nvml_counter+rapl"),
    ]
    assert parsed(exposition(measured).decode()) == as_parsed(measured)


def test_labels_are_escaped() -> None:
    name = 'folder:/photos "new"\\\n# TYPE x counter\nx{a="b"} 1'
    measured = of_record(cell(dataset=Dataset(name, "f", details=DATASET.details)))
    found = parsed(exposition(measured).decode())
    assert found == as_parsed(measured)
    assert {dict(labels)["dataset"] for _, labels in found} == {name}


def test_a_name_that_is_no_unicode_is_written() -> None:
    measured = of_record(cell(dataset=Dataset("folder:/caf\udce9", "f")))
    found = parsed(exposition(measured).decode())
    assert {dict(labels)["dataset"] for _, labels in found} == {"folder:/caf\\xe9"}


def test_each_cell_adds_to_the_file_and_a_second_result_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "cells.prom"
    file = TextFile(str(path))
    first, other = of_record(cell("baseline", 0, 1000.0)), of_record(cell("prune", 0, 800.0))
    again = of_record(cell("baseline", 0, 900.0))
    file.send(first)
    assert parsed(path.read_text()) == as_parsed(first)
    file.send(other)
    assert parsed(path.read_text()) == as_parsed([*first, *other])
    file.send(again)
    assert parsed(path.read_text()) == as_parsed([*again, *other])
    assert [one.name for one in tmp_path.iterdir()] == ["cells.prom"]


def test_a_test_that_changes_the_folder_does_not_move_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = TextFile("cells.prom")
    monkeypatch.chdir("/")
    file.send(of_record(cell()))
    assert (tmp_path / "cells.prom").exists()


def test_a_folder_that_comes_later_gets_everything(tmp_path: Path) -> None:
    path = tmp_path / "later" / "cells.prom"
    file = TextFile(str(path))
    first, other = of_record(cell("baseline")), of_record(cell("prune"))
    with pytest.raises(UsageError, match=r"cannot write .*cells\.prom \(No such file"):
        file.send(first)
    path.parent.mkdir()
    file.send(other)
    assert parsed(path.read_text()) == as_parsed([*first, *other])
