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


def test_operating_points_are_fine_tunings_and_a_cpu_has_one_power_limit(
    suite: pytest.Pytester, pytestconfig: pytest.Config
) -> None:
    study = pytestconfig.rootpath / "benchmarks" / "studies" / "test_operating_point.py"
    place = Path(suite.path, "benchmarks", "studies", study.name)
    place.write_text(study.read_text())
    result = suite.runpytest_subprocess(
        str(place.relative_to(suite.path)),
        "--energy-models=tiny",
        "--energy-max-epochs=1",
        "--point-batches=32,64",
        "--point-precisions=fp32,tf32",
        "--point-limits=own,80%",
        "--benchmark-json=points.json",
    )
    result.assert_outcomes(passed=2, skipped=6)
    data = json.loads(Path(suite.path, "points.json").read_text())
    found = [one["extra_info"]["energybench_study"] for one in data["benchmarks"]]
    assert [(one["batch_size"], one["precision"], one["epochs"]) for one in found] == [
        (32, "fp32", 1),
        (64, "fp32", 1),
    ]
    assert [one["stats"]["total"] for one in data["benchmarks"]] == [
        one["seconds"] for one in found
    ]
