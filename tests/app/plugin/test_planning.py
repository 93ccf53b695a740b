"""`energybench plan`, and a session that keeps its forecasts."""

import json
from pathlib import Path

import pytest
from support.sessions import command


def test_a_plan_is_kept_by_the_records_and_judged_afterwards(session: pytest.Pytester) -> None:
    folder = Path(session.path)
    asked = ("-o", "plan.json", "--seconds=0.2", "--price=0.25", "--", "--energy-max-epochs=4")
    code, output = command(folder, "plan", *asked)
    assert code == 0, output
    assert "all 2 cells, one after the other" in output
    assert "critical path: tiny seed 0" in output
    assert "price" in output
    plan = json.loads((folder / "plan.json").read_text())
    assert [one["cell"]["method"] for one in plan["cells"]] == ["stego", "baseline"]
    result = session.runpytest_subprocess(
        "--energy-plan=plan.json", "--energy-max-epochs=4", "--benchmark-json=run.json"
    )
    result.stdout.fnmatch_lines(["the plan: seconds per epoch off by * of 2 cells*"])
    records = [
        benchmark["extra_info"]["energybench"]
        for benchmark in json.loads((folder / "run.json").read_text())["benchmarks"]
    ]
    expected = {one["cell"]["method"]: one["forecast"] for one in plan["cells"]}
    assert {record["method"]: record["forecast"] for record in records} == expected
    code, output = command(folder, "plan", "--seconds=0.2", "--", "--energy-max-epochs=4")
    assert "1 like cell" in output


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--", "-k", "nothing"), "pytest finds no cell to plan: "),
        (("--", "--energy-pue=0"), "--energy-pue is 0"),
        (("-o", "plan.txt", "--"), "plan.txt does not end in .json"),
        (("--price", "much", "--"), "much is not a number from 0 to 1,000,000"),
    ],
)
def test_bad_input_is_one_line(session: pytest.Pytester, asked: tuple[str, ...], says: str) -> None:
    code, output = command(Path(session.path), "plan", *asked)
    assert code == 2
    assert says in output.strip().splitlines()[-1]


def test_a_session_refuses_a_file_that_is_no_plan(session: pytest.Pytester) -> None:
    Path(session.path, "plan.json").write_text("{}")
    result = session.runpytest_subprocess("--energy-plan=plan.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: plan.json: not an energybench plan*energybench plan -o*"])
