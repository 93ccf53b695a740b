"""Runs of scripts, with locks of each test alone."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path))
