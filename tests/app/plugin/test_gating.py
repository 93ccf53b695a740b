"""A run beside a saved one, with limits, next to pytest-benchmark's own comparison."""

import json
from pathlib import Path

import pytest

QUICK = ("--energy-max-epochs=1", "--energy-tolerance=100")


@pytest.fixture
def saved(session: pytest.Pytester) -> pytest.Pytester:
    """The folder, with a run at 50 J per reading in `old.json`, and a meter of 60 J at hand."""
    result = session.runpytest_subprocess("--benchmark-json=old.json", *QUICK)
    result.assert_outcomes(passed=2)
    sixty = {"watts": {"cpu:0": 60.0}, "seconds_per_read": 1.0}
    Path(session.path, "sixty.json").write_text(json.dumps(sixty))
    return session


def test_a_run_that_is_worse_than_allowed_fails(saved: pytest.Pytester) -> None:
    compare = ("--energy-compare=old.json", "--energy-replay=sixty.json", *QUICK)
    result = saved.runpytest_subprocess(*compare, "--energy-compare-fail=kwh:5%")
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*energybench: compared with old*",
            "tiny*baseline* 1.200",
            "tiny*stego* 1.200",
            "worse than allowed: tiny baseline in this run: kwh +20.00 %, limit 5 % (1 seed)",
            "worse than allowed: tiny stego in this run: kwh +20.00 %, limit 5 % (1 seed)",
        ]
    )
    allowed = saved.runpytest_subprocess(*compare, "--energy-compare-fail=kwh:25%,accuracy:0pp")
    assert allowed.ret == pytest.ExitCode.OK
    assert "worse than allowed" not in allowed.stdout.str()


def test_beside_pytest_benchmarks_own_gate(saved: pytest.Pytester) -> None:
    saved.runpytest_subprocess("--benchmark-autosave", *QUICK)
    (before,) = Path(saved.path, ".benchmarks").rglob("0001_*.json")
    whole = before.read_text()
    faster = json.loads(whole)
    for one in faster["benchmarks"]:
        one["stats"]["mean"] /= 1000  # so that any machine is slower now
    before.write_text(json.dumps(faster))
    result = saved.runpytest_subprocess(
        "--energy-compare=0001",  # pytest-benchmark's storage, as its own option takes it
        "--energy-compare-fail=kwh:5%",
        "--energy-replay=sixty.json",
        "--benchmark-compare=0001",
        "--benchmark-compare-fail=mean:100%",
        *QUICK,
    )
    assert result.ret != pytest.ExitCode.OK
    output = result.stdout.str() + result.stderr.str()
    assert "worse than allowed: tiny stego" in output
    assert "Performance has regressed" in output
    before.write_text(whole)
    lenient = saved.runpytest_subprocess(
        "--energy-compare=0001",
        "--energy-compare-fail=kwh:5%",
        "--benchmark-compare=0001",
        "--benchmark-compare-fail=mean:100000%",
        *QUICK,
    )
    assert lenient.ret == pytest.ExitCode.OK


def test_nothing_in_common_is_no_success(saved: pytest.Pytester) -> None:
    gate = ("--energy-compare=old.json", "--energy-compare-fail=kwh:5%")
    result = saved.runpytest_subprocess(*gate, "--energy-models=tiny2", *QUICK)
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--energy-compare-fail: nothing could be compared"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--energy-compare=gone.json"], "--energy-compare: cannot read gone.json"),
        (["--energy-compare-fail=kwh:5%"], "--energy-compare-fail needs --energy-compare=RUN"),
        (["--energy-compare=foreign.json"], "foreign.json has no energybench records"),
    ],
)
def test_a_mistake_shows_before_any_training(
    session: pytest.Pytester, arguments: list[str], says: str
) -> None:
    Path(session.path, "foreign.json").write_text('{"benchmarks": []}')
    result = session.runpytest_subprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.stderr.lines if line.strip()]
    assert line.startswith("ERROR: ")
    assert says in line


def test_a_wrong_limit_shows_before_any_training(saved: pytest.Pytester) -> None:
    result = saved.runpytest_subprocess("--energy-compare=old.json", "--energy-compare-fail=kwh:5")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.stderr.lines if line.strip()]
    assert "'kwh:5': a limit of kwh is in %, as in kwh:5%" in line


def test_an_estimate_is_not_judged_beside_a_measurement(saved: pytest.Pytester) -> None:
    old = Path(saved.path, "old.json")
    old.write_text(old.read_text().replace('"replay"', '"wall_estimate"'))
    compare = ("--energy-compare=old.json", *QUICK)
    result = saved.runpytest_subprocess(*compare, "--energy-compare-fail=kwh:500%")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["--energy-compare-fail: kwh:500% would compare an estimate with a measurement: tiny *"]
    )
