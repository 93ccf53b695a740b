"""What the studies ask of the plugin: other tolerances and budgets per cell, files run by path."""

import json
from pathlib import Path
from typing import Any

import pytest

TOLERANCES = """
import pytest


@pytest.mark.energy_matrix(
    models=["tiny"], methods=["baseline", "prune"], tolerances=(0.0, 100.0)
)
def test_tolerance(cell, tolerance, energy_cell):
    energy_cell(cell, tolerance=tolerance)
"""

BUDGET = """
import pytest


@pytest.mark.energy_matrix(models=["tiny"], methods=["baseline", "prune"])
def test_budget(cell, energy_cell):
    energy_cell(cell, budget="equal")
"""


def records(session: pytest.Pytester, *options: str) -> dict[str, dict[str, Any]]:
    session.runpytest_subprocess("--benchmark-json=run.json", *options)
    data = json.loads(Path(session.path, "run.json").read_text())
    return {one["name"]: one["extra_info"]["energybench"] for one in data["benchmarks"]}


def test_every_tolerance_is_a_cell_and_the_baseline_is_one(session: pytest.Pytester) -> None:
    session.makepyfile(test_bench=TOLERANCES)
    found = records(session, "--energy-max-epochs=1", "--energy-tolerance=7")
    tolerances = {name: record["protocol"]["tolerance"] for name, record in found.items()}
    assert tolerances == {
        "test_tolerance[tiny-baseline-seed0]": 7.0,
        "test_tolerance[tiny-prune-seed0-0pp]": 0.0,
        "test_tolerance[tiny-prune-seed0-100pp]": 100.0,
    }
    strict, loose = (
        found[f"test_tolerance[tiny-prune-seed0-{pp}pp]"]["compression"]["settings"]["fraction"]
        for pp in (0, 100)
    )
    assert strict < loose == 0.99


def test_an_equal_budget_is_the_baselines_epochs(session: pytest.Pytester) -> None:
    session.makepyfile(test_bench=BUDGET)
    options = ("--energy-max-epochs=6", "--energy-tolerance=100")
    found = records(session, *options)
    epochs = {record["method"]: len(record["epochs"]) for record in found.values()}
    assert epochs["prune"] == epochs["baseline"] > 1
    assert {record["protocol"]["budget"] for record in found.values()} == {"equal"}


def test_an_unknown_budget_is_refused(session: pytest.Pytester) -> None:
    result = session.runpytest_subprocess("--energy-budget=half")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.stderr.lines if line.strip()]
    assert "--energy-budget is half; known: early-stopping, equal" in line


@pytest.fixture
def suite(session: pytest.Pytester, pytestconfig: pytest.Config) -> pytest.Pytester:
    """A folder as `benchmarks/` is, with a study in it."""
    folder = session.mkdir("benchmarks")
    conftest = pytestconfig.rootpath / "benchmarks" / "conftest.py"
    (folder / "conftest.py").write_text(conftest.read_text())
    (folder / "test_matrix.py").write_text("def test_matrix():\n    pass\n")
    (folder / "studies").mkdir()
    (folder / "studies" / "test_one.py").write_text("def test_study():\n    pass\n")
    Path(session.path, "test_bench.py").unlink()
    return session


@pytest.mark.parametrize(
    ("arguments", "tests"),
    [
        ([], ["test_matrix"]),
        (["benchmarks"], ["test_matrix"]),
        (["benchmarks/studies"], ["test_study"]),
        (["benchmarks/studies/test_one.py"], ["test_study"]),
        (["benchmarks/studies/test_one.py::test_study"], ["test_study"]),
        (["benchmarks", "benchmarks/studies"], ["test_matrix", "test_study"]),
    ],
)
def test_studies_run_by_path_only(
    suite: pytest.Pytester, arguments: list[str], tests: list[str]
) -> None:
    result = suite.runpytest_subprocess("--collect-only", "-q", *arguments)
    found = [line.split("::")[-1] for line in result.stdout.lines if "::" in line]
    assert sorted(found) == tests
