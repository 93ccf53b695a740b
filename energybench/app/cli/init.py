"""`energybench init`: write a folder with a first benchmark."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from energybench.app.cli.output import write_text
from energybench.errors import UsageError, legible

TEST_FILE = "test_finetune.py"
INI_FILE = "pytest.ini"
TEST = '''\
"""The energy of fine-tuning: one benchmark per model, method and seed."""

import pytest


@pytest.mark.energy_matrix(
    models=["resnet18", "resnet34"],
    methods=["baseline", "baseline-again", "stego", "prune", "lowrank"],
)
def test_finetune(cell, energy_cell):
    """Fails when the cell loses more accuracy than the tolerance allows."""
    energy_cell(cell)
'''
SHOWN = ("dataset", "device", "tolerance", "seeds", "idle")
"""The options whose defaults the configuration file spells out."""
OTHER_CONFIGURATION = {
    ".pytest.ini": "",
    "pytest.toml": "",
    ".pytest.toml": "",
    "pyproject.toml": "[tool.pytest",
    "tox.ini": "[pytest]",
    "setup.cfg": "[tool:pytest]",
}
"""File name -> text that shows that the file configures pytest."""


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `init` to the commands."""
    init = commands.add_parser("init", help="write a first benchmark, ready for pytest")
    init.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="default: this one")
    init.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> None:
    folder = Path(options.folder)
    try:
        _refuse_what_exists(folder)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {folder / TEST_FILE: TEST, folder / INI_FILE: ini_text()}
    except OSError as error:
        path = error.filename or folder
        raise UsageError(f"cannot write {path}: {error.strerror}; name another folder") from error
    _write_all(texts)
    print(legible(f"wrote {folder / TEST_FILE} and {folder / INI_FILE}\n\nnext:"))
    if folder.resolve() != Path.cwd():
        print(legible(f"  cd {folder}"))
    print(
        "  energybench doctor                # what can be measured on this machine\n"
        "  pytest -k resnet18                # five cells: a few minutes on a CPU\n"
        "  pytest --energy-resume            # the other cells\n"
        "  energybench report .energybench/journal.jsonl -o report.html"
    )


def _write_all(texts: Mapping[Path, str]) -> None:
    """Write every file, or none of them."""
    written: list[Path] = []
    try:
        for path, text in texts.items():
            write_text(path, text)
            written.append(path)
    except UsageError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _refuse_what_exists(folder: Path) -> None:
    for name in (TEST_FILE, INI_FILE):
        if (folder / name).exists():
            raise UsageError(f"{folder / name} exists already; name another folder")
    for name, text in OTHER_CONFIGURATION.items():
        path = folder / name
        if path.is_file() and text in path.read_text(encoding="utf-8", errors="replace"):
            raise UsageError(
                f"{path} configures pytest already, and {INI_FILE} would replace it; "
                "name another folder"
            )


def ini_text() -> str:
    """Return a pytest configuration with the defaults of the options that most users change."""
    from energybench.app.plugin.options import OPTIONS, key  # with pytest, for this command only

    by_name = {option.name: option for option in OPTIONS}
    keys = [f"{key(by_name[name])} = {by_name[name].default_text}" for name in SHOWN]
    head = "# Each --energy-NAME of pytest --help is the key energy_NAME here."
    return "\n".join([head, "[pytest]", *keys]) + "\n"
