"""Other people's suites in an environment that has energybench: nothing changes for them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOREIGN = """
import pytest

@pytest.mark.parametrize("seed", [0, 1], ids=["net-lr0.1-seed0", "net-lr0.1-seed1"])
def test_theirs(seed):
    pass
"""
MIXED = """
import pytest

@pytest.mark.energy_matrix(models=["resnet18"], methods=["baseline"])
def test_cells(cell):
    raise AssertionError("a cell ran")

def test_theirs():
    pass
"""
TIMED = """
def test_timed(benchmark):
    benchmark(lambda: None)
"""
STRANGE_OUTPUT = """
import sys

class Terminal:
    encoding = "utf-8"
    def __init__(self, real):
        self.real = real
    def write(self, text):
        return self.real.write(text)
    def flush(self):
        self.real.flush()
    def isatty(self):
        return True

sys.stdout = Terminal(sys.stdout)
"""
HEAVY = (
    *("codecarbon", "filelock", "jinja2", "matplotlib", "numpy", "pandas", "PIL", "platformdirs"),
    *("psutil", "pydantic", "rich", "safetensors", "scipy", "sklearn", "torch", "torchvision"),
)
LIGHT = {"rules", "app", "config", "errors", "interruption", "registry", "runs"}
"""The rooms that may be imported in every session; of `runs`, the matrix only."""


@pytest.fixture(autouse=True)
def _not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def test_parallel_tests_with_ids_like_ours_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FOREIGN)
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("declared", "read"),
    [
        ('parser.addoption("--energy", type=float)', "getoption"),
        ('parser.addini("energy", "of the beam")', "getini"),
        ('parser.addoption("--beam", dest="energy", default=13)', "getoption"),
    ],
)
def test_an_option_of_theirs_may_be_called_energy(
    pytester: pytest.Pytester, declared: str, read: str
) -> None:
    pytester.makeconftest(f"def pytest_addoption(parser):\n    {declared}\n")
    pytester.makeini(f"[pytest]\n{'energy = 13 TeV' if read == 'getini' else ''}\n")
    pytester.makepyfile(
        f"def test_beam(pytestconfig):\n    print('beam', pytestconfig.{read}('energy'))\n"
    )
    given = ["--energy=13"] if '"--energy"' in declared else []
    result = pytester.runpytest_inprocess("-s", *given)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*beam 13*"])
    assert pytester.runpytest_inprocess("--help").ret == pytest.ExitCode.OK


@pytest.mark.parametrize(("size", "rank"), [("", "0"), ("large", "0"), ("2", "general")])
def test_variables_of_other_programs_are_no_launcher(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, size: str, rank: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("RANK", rank)
    pytester.makepyfile(FOREIGN)
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_all_ranks_of_a_foreign_suite_keep_their_output_and_their_files(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    pytester.makepyfile(TIMED)
    result = pytester.runpytest_subprocess("--junit-xml=out.xml", "--benchmark-json=out.json")
    result.assert_outcomes(passed=1)
    assert 'tests="1"' in Path(pytester.path, "out.xml").read_text()
    assert json.loads(Path(pytester.path, "out.json").read_text())["benchmarks"]


def test_a_matrix_is_refused_in_parallel_before_any_cell(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MIXED)
    result = pytester.runpytest_subprocess("-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: energy is measured one cell at a time; run the benchmarks without -n, *"]
    )
    output = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in output
    assert "Traceback" not in output
    assert "a cell ran" not in output


def test_a_matrix_that_is_deselected_does_not_stand_in_the_way(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MIXED)
    result = pytester.runpytest_subprocess("-n", "2", "-m", "not energy_matrix")
    result.assert_outcomes(passed=1)


def test_an_output_that_only_claims_to_be_a_terminal_is_left_alone(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(strange=STRANGE_OUTPUT)
    pytester.makepyfile(FOREIGN)
    pytester.syspathinsert()
    result = pytester.runpytest_subprocess("-p", "strange", "-s")
    assert result.ret == pytest.ExitCode.OK
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()


def test_the_machine_in_other_peoples_json_is_as_without_us(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TIMED)
    quick = "--benchmark-max-time=0.01"
    pytester.runpytest_subprocess("--benchmark-autosave", quick).assert_outcomes(passed=1)
    (saved,) = Path(pytester.path, ".benchmarks").rglob("*.json")
    assert "energybench" not in json.loads(saved.read_text())["machine_info"]
    compared = pytester.runpytest_subprocess("--benchmark-compare", quick)
    compared.assert_outcomes(passed=1)
    # pytest-benchmark's own facts may differ (they include the present clock rate)
    assert "energybench" not in compared.stderr.str()


def test_a_session_without_a_matrix_imports_nothing_heavy(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(FOREIGN)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others import what they like
    code = (
        "import json, sys, pytest\n"
        "plugins = ['-p', 'pytest_benchmark.plugin', '-p', 'energybench.app.plugin']\n"
        "status = int(pytest.main(plugins))\n"
        "print(json.dumps([status, sorted(sys.modules)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        check=True,
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0
    assert "energybench.app.plugin.state" in modules
    assert not set(HEAVY) & set(modules)
    ours = [name for name in modules if name.startswith("energybench.")]
    assert {name.split(".")[1] for name in ours} <= LIGHT
    assert [name for name in ours if name.startswith("energybench.runs.")] == [
        "energybench.runs.matrix"
    ]
