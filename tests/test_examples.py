"""Every file of `examples/` runs by the command in its first lines, on a CPU, in seconds.

The names in `examples/pyproject.toml` count as installed, and all files share one cache.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.packages import install

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
MATRICES = {
    "own_network": ("baseline", "baseline-again", "lowrank"),
    "own_data": ("baseline", "prune"),
    "own_method": ("baseline", "biases-only", "freeze"),
}
"""File -> its methods."""
Run = Callable[..., str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run `python ARGUMENTS` in an empty folder, and return what it prints."""
    folder = tmp_path_factory.mktemp("examples")
    install(EXAMPLES, folder)
    (folder / "locks").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "WATT_LOG"} | {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, EXAMPLES, folder))),
        "ENERGYBENCH_CACHE": str(folder / "cache"),
        "ENERGYBENCH_LOCKS": str(folder / "locks"),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("PYTEST_XDIST_WORKER", None)

    def start(*arguments: str, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    return start


@pytest.mark.parametrize("name", MATRICES)
def test_a_matrix_has_a_row_for_each_method(name: str, run: Run) -> None:
    session = ["-m", "pytest", "-p", "no:cacheprovider", "--energy-idle=0"]
    printed = run(*session, str(EXAMPLES / f"{name}.py"))
    rows = re.findall(r"^example-net +(\S+) .* (\d+\.\d+) % ", printed, re.MULTILINE)
    assert sorted(method for method, _ in rows) == sorted(MATRICES[name])
    assert f"{len(rows)} passed" in printed


def test_the_meter_reads_the_log(run: Run) -> None:
    printed = run(str(EXAMPLES / "own_meter.py"))
    found = re.search(r"<Measurement (\S+) J over (\S+) s, .*\(watt_log\)>", printed)
    assert found, printed
    assert float(found[1]) == pytest.approx(40 * float(found[2]), rel=0.1)


def test_the_suite_is_one_of_pytest_benchmark_alone(run: Run) -> None:
    text = (EXAMPLES / "test_suite.py").read_text(encoding="utf-8")
    assert not re.search(r"^(?:import|from) energybench|\benergy\b\)", text, re.MULTILINE)
    bench = ["-m", "pytest", "-p", "no:cacheprovider", "--benchmark-max-time=0.1"]
    printed = run(*bench, "--energy", str(EXAMPLES / "test_suite.py"))
    assert "3 passed" in printed
    rows = re.findall(r"test_suite\.py::(test_\w+)\S* +\S+ [um]?J ", printed)
    assert rows == ["test_fibonacci", "test_fibonacci", "test_sort"]


def test_the_trainer_learns_and_is_measured(run: Run) -> None:
    pytest.importorskip("transformers", reason="pip install 'energybench[language]'")
    pytest.importorskip("accelerate", reason="pip install 'energybench[language]'")
    printed = run(str(EXAMPLES / "trainer.py"), HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
    first, last = map(float, re.findall(r"'loss': '?([\d.]+)", printed))
    assert last < first
    assert re.search(r"after 16 steps: <Measurement .* J over", printed), printed


def test_every_file_is_listed_and_says_its_command() -> None:
    files = sorted(path.name for path in EXAMPLES.glob("*.py"))
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert len(files) == 6
    for name in files:
        text = (EXAMPLES / name).read_text(encoding="utf-8").split('"""')[1]
        command = re.search(rf"(?:pytest|pytest --energy|python) examples/{name}", text)
        assert command, f"{name} says no command"
        assert f"`{command[0]}`" in listed, f"the list lacks `{command[0]}`"
