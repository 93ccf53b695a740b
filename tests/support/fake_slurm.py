"""Stand-ins for Slurm's commands: they accept what is sent, and run nothing."""

import os
from pathlib import Path

import pytest

COMMANDS = {
    "sinfo": 'case "$*" in *%n*) hostname;; *) echo h100,big; echo a100;; esac',
    "sbatch": 'cat > "$0.script"; echo "$@" >> "$0.arguments"; echo 12',
    "squeue": "true",
    "scancel": "true",
    "scontrol": "echo MaxArraySize = 1001",
}


def fake_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-ins ahead in PATH; returns the file of what `sbatch` was called with."""
    folder.mkdir()
    for name, text in COMMANDS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder / "sbatch.arguments"
