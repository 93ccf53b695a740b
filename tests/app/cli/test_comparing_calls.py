"""`energybench compare` over files of suites that only have energies per call."""

import json
from pathlib import Path
from typing import Any

import pytest

from energybench.app.cli.main import main


def saved(folder: Path, name: str, source: str = "rapl", **joules: float) -> str:
    """A JSON as pytest-benchmark writes it; returns its path."""
    entries: list[dict[str, Any]] = [
        {
            "fullname": f"test_x.py::{test}",
            "extra_info": {
                "energy": {
                    "joules_per_call": value,
                    "domains": {"cpu:0": value},
                    "watts": 5.0,
                    "calls": 100,
                    "window_s": 2.0,
                    "sources": {"cpu:0": source},
                }
            },
        }
        for test, value in joules.items()
    ]
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"benchmarks": entries}))
    return str(path)


def test_two_files_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = saved(tmp_path, "old", test_a=1.0, test_b=2.0)
    new = saved(tmp_path, "new", test_a=1.2, test_b=2.0)
    assert main(["compare", old, new, "--fail-on", "joules:30%"]) == 0
    assert "1.200" in capsys.readouterr().out
    assert main(["compare", old, new, "--fail-on", "joules:10%"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "worse than allowed: test_x.py::test_a in new: joules +20.00 %" in error


@pytest.mark.parametrize("layout", ["markdown", "csv", "json"])
def test_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str) -> None:
    old, new = saved(tmp_path, "old", test_a=1.0), saved(tmp_path, "new", test_a=0.5)
    assert main(["compare", old, new, "--format", layout]) == 0
    out = capsys.readouterr().out
    assert "test_x.py::test_a" in out
    assert layout != "json" or json.loads(out)["tests"][0]["ratios"]["new"]["value"] == 0.5


def test_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", saved(tmp_path, "only", test_a=0.002)]) == 0
    assert "2 mJ" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("new", "arguments", "says"),
    [
        ({"source": "codecarbon_estimate", "test_a": 1.0}, (), "not compared: test_x.py::test_a"),
        ({"test_b": 1.0}, ("--fail-on=joules:1%",), "no test is in the first run and in another"),
        ({"test_a": 1.0}, ("--fail-on=joules:1pp",), "a limit of joules is in %"),
        ({"test_a": 1.0}, ("--fail-on=kwh:1%",), "--fail-on needs two runs to compare"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    new: dict[str, Any],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    files = saved(tmp_path, "old", test_a=1.0), saved(tmp_path, "new", **new)
    assert main(["compare", *files, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


def test_cells_and_calls_in_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = json.loads((Path(__file__).parents[3] / "results/digits-cpu-2core.json").read_text())
    calls = json.loads(Path(saved(tmp_path, "calls", test_a=1.0)).read_text())
    both = tmp_path / "both.json"
    few = cells["benchmarks"][:2]
    both.write_text(json.dumps({**cells, "benchmarks": [*few, *calls["benchmarks"]]}))
    assert main(["compare", str(both)]) == 0
    out = capsys.readouterr().out
    assert "baseline" in out
    assert "test_x.py::test_a" in out
    assert main(["compare", str(both), "--format=json"]) == 0
    captured = capsys.readouterr()
    assert "runs" in json.loads(captured.out)
    assert captured.err == "energybench: the JSON has no energies per call, only cells\n"
