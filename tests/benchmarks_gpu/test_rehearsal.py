"""Every part of the GPU session, rehearsed at tiny sizes on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.parts import PARTS, ROOT, Part
from energybench.records.saved import read_runs
from energybench.report.page import page

METERS, *OTHERS = PARTS
HANGS_AFTER_S = 150
"""Seconds of one test of a part, after which the log says at which lines its threads are."""
ENDS_AFTER_S = 390
"""Seconds of a part, after which its rehearsal has failed."""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of untrained networks for all parts."""
    return tmp_path_factory.mktemp("scratch")


def rehearsed(part: Part, scratch: Path, folder: Path) -> Path:
    """The JSON of a part that finished all of its tests."""
    command = ("-m", "benchmarks.gpu", "--rehearse", str(part.number))
    environment = {
        "PYTEST_ADDOPTS": f"-o faulthandler_timeout={HANGS_AFTER_S}",
        "TORCH_COMPILE_DISABLE": "1",  # it takes a minute; training/test_compiled.py compiles
    }
    try:
        done = subprocess.run(
            [sys.executable, *command, f"--scratch={scratch}", f"--output={folder}"],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=ENDS_AFTER_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        log = (folder / f"{part.label}.log").read_text()
        pytest.fail(f"{part.label} did not end within {ENDS_AFTER_S} s:\n{log}")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / f"{part.label}.json"


@pytest.mark.parametrize("part", OTHERS, ids=lambda part: part.label)
def test_a_part_finishes_all_of_its_tests(part: Part, scratch: Path, tmp_path: Path) -> None:
    found = json.loads(rehearsed(part, scratch, tmp_path).read_text())
    names = {one["name"] for one in found["energybench"]["studies"]}
    assert f"part {part.label}, finished tests" in names


def test_what_the_meters_show_is_for_the_report(scratch: Path, tmp_path: Path) -> None:
    path = rehearsed(METERS, scratch, tmp_path)
    names = {one["name"] for one in json.loads(path.read_text())["energybench"]["studies"]}
    assert {"ceiling, fp32", "ceiling, memory", "part 1-meters, finished tests"} <= names
    text = page(read_runs([str(path)], need_records=False))
    assert "Checks of the machine" in text
    assert "checks of this machine, without any fine-tuning" in text
