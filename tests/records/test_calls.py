"""Energies per call in pytest-benchmark's JSON, ours and other people's."""

import json
from pathlib import Path
from typing import Any

import pytest

from energybench.energy.per_call import PerCall
from energybench.energy.readings import EnergyReading
from energybench.errors import UsageError
from energybench.records.calls import CallEnergy, call_energy, calls_in
from energybench.records.saved import LATEST, read_runs


def measured(joules: float = 10.0, **fields: Any) -> CallEnergy:
    reading = EnergyReading(2.0, {"cpu:0": joules}, {"cpu:0": "rapl"}, flags=["contaminated"])
    return call_energy(PerCall(10, reading, repeats=(0.9, 1.1)), **fields)


def benchmarks(**extras: Any) -> list[dict[str, Any]]:
    return [{"fullname": name, "extra_info": {"energy": one}} for name, one in extras.items()]


def test_what_is_written_is_read() -> None:
    energy = measured(further_calls=3, note="called once, as its test asks")
    data = json.loads(json.dumps(energy.to_json()))
    assert calls_in(benchmarks(test_a=data)) == ({"test_a": energy}, [])
    assert energy.joules_per_call == 1.0
    assert energy.watts == 5.0
    assert energy.source == "measured: rapl"


def test_what_the_first_version_wrote_is_read() -> None:
    old = {
        "joules_per_call": 1.5,
        "domains": {"cpu:estimate": 1.5},
        "watts": 3.0,
        "calls": 7,
        "window_s": 3.5,
        "sources": {"cpu:estimate": "codecarbon_estimate"},
        "flags": [],
        "unavailable": {},
    }
    found, notes = calls_in(benchmarks(test_a=old))
    assert notes == []
    assert found["test_a"].source == "estimated: codecarbon_estimate"
    assert found["test_a"].repeats == []


@pytest.mark.parametrize("theirs", [3.2, "much", None, [], {"joules": 4}])
def test_other_peoples_use_of_the_key_is_left_alone(theirs: Any) -> None:
    assert calls_in(benchmarks(test_a=theirs)) == ({}, [])


@pytest.mark.parametrize(
    "change",
    [
        {"joules_per_call": "1"},
        {"joules_per_call": -1.0},
        {"repeats": [float("nan")]},
        {"repeats": 3},
        {"sources": ["rapl"]},
        {"kinds": {"cpu:0": "guessed"}},
        {"calls": 1e300},
        {"schema_version": 99},
    ],
)
def test_one_of_ours_that_makes_no_sense_is_named(change: dict[str, Any]) -> None:
    data = measured().to_json()
    found, notes = calls_in(benchmarks(test_a={**data, **change}, test_b=data))
    assert list(found) == ["test_b"]
    assert len(notes) == 1
    assert notes[0].startswith("the energy of test_a cannot be read: ")


def test_a_foreign_file_with_energies_is_a_run(tmp_path: Path) -> None:
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({"benchmarks": benchmarks(test_a=measured().to_json())}))
    (run,) = read_runs([str(path)], or_calls=True)
    assert run.records == ()
    assert run.calls == {"test_a": measured()}
    with pytest.raises(UsageError, match="has no energybench records"):
        read_runs([str(path)])


def test_the_latest_stored_run_and_an_id(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="save one with --benchmark-autosave"):
        read_runs([LATEST], storage=tmp_path)
    for number, joules in ((1, 10.0), (2, 20.0)):
        path = tmp_path / "Linux-CPython-3.11-64bit" / f"000{number}_abc.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"benchmarks": benchmarks(test_a=measured(joules).to_json())}))
    for name, joules in ((LATEST, 2.0), ("0001", 1.0)):
        (run,) = read_runs([name], or_calls=True, storage=tmp_path)
        assert run.calls["test_a"].joules_per_call == joules
