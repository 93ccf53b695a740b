"""`energybench init`: a folder that pytest can run at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from energybench.app.cli.main import main


def test_the_folder_collects_a_cell_per_model_and_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "bench"
    assert main(["init", str(folder)]) == 0
    told = capsys.readouterr().out
    assert f"cd {folder}" in told
    assert "pytest -k resnet18" in told
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-W", "error"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    ids = {line for line in done.stdout.splitlines() if "::" in line}
    assert ids == {
        f"test_finetune.py::test_finetune[{model}-{method}-seed0]"
        for model in ("resnet18", "resnet34")
        for method in ("baseline", "baseline-again", "stego", "prune", "lowrank")
    }


def test_the_name_of_the_folder_may_be_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    assert main(["init", str(folder)]) == 0
    assert rf"cd {tmp_path}/caf\xe9" in capsys.readouterr().out
    assert len(list(folder.iterdir())) == 2


def test_the_configuration_is_read(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    ini = tmp_path / "pytest.ini"
    assert "energy_tolerance = 1\n" in ini.read_text()
    ini.write_text(ini.read_text().replace("energy_tolerance = 1", "energy_tolerance = -1"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "energy_tolerance in pytest.ini is -1; it must be at least 0" in done.stderr


def test_the_folder_at_hand_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"test_finetune.py", "pytest.ini"}
    assert "cd " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("test_finetune.py", "", "test_finetune.py exists already; name another folder"),
        ("pytest.ini", "", "pytest.ini exists already; name another folder"),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", "pyproject.toml configures pytest"),
        ("pyproject.toml", "[tool.pytest]\n", "pyproject.toml configures pytest already"),
        ("tox.ini", "[pytest]\n", "tox.ini configures pytest already"),
        ("pytest.toml", "", "pytest.toml configures pytest already"),
    ],
)
def test_what_exists_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, says: str
) -> None:
    (tmp_path / file).write_text(text)
    assert main(["init", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_text() == text


def test_a_configuration_of_other_tools_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    assert main(["init", str(tmp_path)]) == 0


def test_a_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "folder")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "name another folder" in line


def test_python_m_is_the_command() -> None:
    command = [sys.executable, "-m", "energybench", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("energybench ")
