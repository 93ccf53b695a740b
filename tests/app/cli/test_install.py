"""From the wheel to a finished cell, in an environment of its own; `pytest -m install` runs it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.install


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """The wheel, built from a copy of the sources, so that nothing is left among them."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(pytestconfig.rootpath / name, sources)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(pytestconfig.rootpath / "energybench", sources / "energybench", ignore=ignored)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    run([*build, "-w", str(folder), str(sources)], folder)
    (built,) = folder.glob("energybench-*.whl")
    return built


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel, and with this one's packages for the rest."""
    root = tmp_path_factory.mktemp("env")
    venv.create(root, symlinks=True, with_pip=False)
    (packages,) = root.glob("lib/python*/site-packages")
    # a path file appends folders as they are: an editable energybench in them stays out of reach
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-m", "pip", "--python", str(root / "bin" / "python"), "install"]
    run([*command, "-q", "--no-deps", "--no-index", "--ignore-installed", str(wheel)], root)
    return root / "bin"


def run(command: list[str], folder: Path) -> str:
    """Run a command that must succeed, in `folder`, without this checkout on Python's path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"ENERGYBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_from_the_wheel_to_a_finished_cell(commands: Path, tmp_path: Path) -> None:
    place = "import energybench; print(energybench.__file__)"
    assert run([str(commands / "python"), "-c", place], tmp_path).startswith(str(commands.parent))
    run([str(commands / "energybench"), "init"], tmp_path)
    pytest_of_env = [str(commands / "python"), "-m", "pytest"]
    options = ["-k", "resnet18 and baseline", "--energy-max-epochs=1", "--energy-idle=0"]
    out = run([*pytest_of_env, *options, "--benchmark-json=run.json"], tmp_path)
    assert "1 passed" in out
    (benchmark,) = json.loads((tmp_path / "run.json").read_text())["benchmarks"]
    assert benchmark["name"] == "test_finetune[resnet18-baseline-seed0]"
    assert benchmark["extra_info"]["kwh"] > 0
    out = run([str(commands / "energybench"), "show", "run.json"], tmp_path)
    assert "resnet18" in out
