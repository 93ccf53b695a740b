"""Parts of the GPU session that are cut short, go on, and leave their JSON."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.saved_runs import cell

from benchmarks.gpu import collecting, progress, runner
from benchmarks.gpu.collecting import collect, files_of
from benchmarks.gpu.parts import PARTS, Part, Place, Step
from energybench.records.entry import Entry
from energybench.records.journal import Journal
from energybench.records.saved import read_runs
from energybench.records.studies import Check, read_studies
from energybench.report.page import markdown

ROOT = Path(__file__).parents[2]
BENCHMARKS = """
import os, time
from pathlib import Path

import pytest

NAMES = Path(__file__).with_name("ran")


@pytest.mark.parametrize("name", ["first", "slow", "last"])
def test_step(name, benchmark, request):
    with NAMES.open("a") as file:
        file.write(name + "\\n")
    if name == "slow" and not Path(__file__).with_name("quick").exists():
        time.sleep(60.0)
    benchmark.pedantic(lambda: None)
    benchmark.extra_info["energybench_study"] = {
        "kind": "check", "name": name, "device_name": "a GPU", "found": "yes", "schema_version": 1
    }
"""
COMMAND = """
import sys
from pathlib import Path
from benchmarks.gpu import runner
from benchmarks.gpu.parts import Part, Place, Step

file, folder, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
runner.GRACE_S = runner.SPARE_S = 2.0
part = Part(9, "tiny", "three tests", lambda place: [Step("tests", (str(file),))])
try:
    runner.run_part(part, Place(folder / "scratch", True), folder, seconds)
except runner.Stopped as stopped:
    sys.exit(128 + stopped.number)
"""
TINY = Part(9, "tiny", "three tests", lambda place: [])


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    path = tmp_path / "test_tiny.py"
    path.write_text(BENCHMARKS)
    return path


def start(tests: Path, seconds: float = 60.0) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", COMMAND, str(tests), str(tests.parent / "out"), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def ran(tests: Path) -> list[str]:
    path = tests.with_name("ran")
    return path.read_text().split() if path.exists() else []


def wait_for_the_slow_one(tests: Path) -> None:
    end = time.monotonic() + 60.0
    while "slow" not in ran(tests):
        assert time.monotonic() < end, "the session did not come so far"
        time.sleep(0.1)


def found(folder: Path, part: Part = TINY) -> dict[str, dict[str, Any]]:
    """Name -> each study in the JSON of a part."""
    (run,) = read_runs([str(files_of(part, folder)["json"])], need_records=False)
    return {one.name: vars(one) for one in read_studies(run.extras) if isinstance(one, Check)}


def finish(tests: Path) -> dict[str, dict[str, Any]]:
    """Run the part again, with nothing slow in it; return its studies."""
    tests.with_name("quick").touch()
    process = start(tests)
    output, _ = process.communicate(timeout=60.0)
    assert process.returncode == 0, output
    assert "part 9-tiny: 3 of 3 tests finished" in output
    return found(tests.parent / "out")


def test_a_part_that_was_killed_goes_on_and_repeats_nothing(tests: Path) -> None:
    process = start(tests)
    wait_for_the_slow_one(tests)
    process.kill()
    process.wait()
    session = Path(tests.parent, "out", "9-tiny.tests.jsonl")
    assert [
        line.get("test", "").rpartition("[")[2] for line in map(json.loads, lines(session))
    ] == [
        "",
        "first]",
    ]
    studies = finish(tests)
    assert ran(tests) == ["first", "slow", "slow", "last"]
    assert {"first", "slow", "last"} <= set(studies)
    assert studies["part 9-tiny, finished tests"]["found"] == "3 of 3"


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_session_and_leaves_the_json(tests: Path, number: int) -> None:
    process = start(tests)
    wait_for_the_slow_one(tests)
    process.send_signal(number)
    process.communicate(timeout=60.0)
    assert process.returncode == 128 + number
    studies = found(tests.parent / "out")
    assert "first" in studies
    finished = studies["part 9-tiny, finished tests"]
    assert (finished["found"], finished["reason"]) == ("1 of 3", "2 are left for the next run")
    assert "last" in finish(tests)


def test_a_part_ends_in_its_time(tests: Path) -> None:
    began = time.monotonic()
    process = start(tests, seconds=20.0)
    output, _ = process.communicate(timeout=60.0)
    assert time.monotonic() - began < 26.0
    if "slow" in ran(tests):  # a busy machine may not come so far
        assert "tests was stopped: its time was over" in output
        assert "2 left for the next run" in output
        assert "first" in found(tests.parent / "out")


def test_what_a_machine_lacks_is_one_line_and_in_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [
        Step("far", ("x",), needs=("no-such-package",)),
        Step("many", ("x",), gpus=99),
        Step("compiled", ("x",), compiles=True),
    ]
    monkeypatch.setenv("CXX", "no-such-compiler")
    part = Part(9, "lacking", "nothing", lambda place: steps)
    said: list[str] = []
    outcome = runner.run_part(part, Place(tmp_path, True), tmp_path / "out", 60.0, said.append)
    assert said[0].startswith("part 9-lacking: far is left out: it needs no-such-package; carry")
    assert said[1].startswith("part 9-lacking: many is left out: it needs 99 GPUs, and PyTorch")
    assert said[2].startswith(
        "part 9-lacking: compiled is left out: torch.compile needs a compiler"
    )
    assert len(outcome.left_out) == 3
    assert not outcome.troubles
    studies = found(tmp_path / "out", part)
    assert "no-such-package" in studies["part 9-lacking, far"]["reason"]


def test_a_step_that_was_not_begun_is_told_and_begun_by_the_next_run(
    tests: Path, tmp_path: Path
) -> None:
    part = Part(9, "tiny", "three tests", lambda place: [Step("tests", (str(tests),))])
    out, place = tmp_path / "out", Place(tmp_path / "scratch", True)
    said: list[str] = []
    outcome = runner.run_part(part, place, out, 1.0, said.append)
    assert outcome.left == 1
    assert said[-1] == "part 9-tiny: 1 steps were not begun; the next run begins them"
    assert found(out)["part 9-tiny, tests"]["reason"] == runner.NOT_BEGUN
    tests.with_name("quick").touch()
    assert runner.run_part(part, place, out, 120.0, said.append).left == 0
    assert "part 9-tiny, tests" not in found(out)


def test_a_step_that_cannot_start_is_told(tmp_path: Path) -> None:
    part = Part(9, "wrong", "a wrong option", lambda place: [Step("one", ("--no-such-option",))])
    said: list[str] = []
    outcome = runner.run_part(part, Place(tmp_path, True), tmp_path / "out", 120.0, said.append)
    (trouble,) = outcome.troubles
    assert trouble.startswith("part 9-wrong: one ended with the exit status 4; see ")
    assert "--no-such-option" in files_of(part, tmp_path / "out")["log"].read_text()


def test_cells_and_studies_of_a_part_are_one_run_of_the_report(tmp_path: Path) -> None:
    files = files_of(TINY, tmp_path)
    for method, joules in (("baseline", 1000.0), ("prune", 600.0)):
        record = cell(method, joules=joules)
        Journal(files["cells"]).append(Entry(method, record, None, "2026-11-27T00:00:00+00:00"))
    check = vars(Check("a question", "a processor", "42 W", "below 50 W", True))
    base = {"step": "one", "key": "k"}
    progress.append(files["tests"], base | {"collected": ["a", "b"]})
    line = {"test": "a", "outcome": "passed", "why": None, "cell": True, "benchmark": None}
    progress.append(files["tests"], base | line | {"checks": [check]})
    collect(TINY, tmp_path)
    (run,) = read_runs([str(files["json"])])
    assert [one.method for one in run.records] == ["baseline", "prune"]
    text = markdown([run])
    assert text.count("\n## ") == 1, "one section beside the paper's"
    assert "| a question" in text
    assert "+40.0 %" in text
    assert "1 are left for the next run" in text


def test_a_json_that_would_be_too_large_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(TINY, tmp_path)
    progress.append(files["tests"], {"step": "one", "key": "k", "collected": []})
    for number in range(30):
        study = {"energybench_study": vars(Check(f"check {number}", "a GPU", "x" * 1000))}
        line = {"test": str(number), "outcome": "passed", "why": None, "cell": False}
        benchmark = {"name": str(number), "extra_info": study}
        given = {"step": "one", "key": "k", "checks": [], "benchmark": benchmark}
        progress.append(files["tests"], given | line)
    monkeypatch.setattr(collecting, "LIMIT", 20_000)
    collect(TINY, tmp_path)
    data = json.loads(files["json"].read_text())
    assert files["json"].stat().st_size <= 20_000
    assert data["left_out"] + len(data["benchmarks"]) == 30
    (run,) = read_runs([str(files["json"])], need_records=False)
    assert any("left out" in note for note in run.notes)


def test_a_torn_line_costs_its_test_only(tmp_path: Path) -> None:
    path = tmp_path / "tests.jsonl"
    progress.append(path, {"step": "one", "key": "k", "collected": ["a", "b"]})
    with path.open("a") as file:
        file.write('\n{"step": "one", "key": "k", "te')
    progress.append(path, {"step": "one", "key": "k", "test": "b", "outcome": "passed"})
    read = progress.read(path)
    assert read.left == ["a"]
    assert [test for _, test in read.done] == ["b"]


def test_under_another_key_nothing_is_done(tmp_path: Path) -> None:
    path = tmp_path / "tests.jsonl"
    for key in ("old", "new"):
        progress.append(path, {"step": "one", "key": key, "collected": ["a"]})
        if key == "old":
            progress.append(path, {"step": "one", "key": key, "test": "a", "outcome": "passed"})
    assert progress.read(path).left == ["a"]


def test_the_newest_of_each_device_counts(tmp_path: Path) -> None:
    path = files_of(TINY, tmp_path)["tests"]
    for key, device, found_ in (("1", "A", "1"), ("2", "A", "2"), ("3", "B", "3")):
        progress.append(path, {"step": "one", "key": key, "collected": ["a"]})
        line = {"step": "one", "key": key, "test": "a", "outcome": "passed", "cell": False}
        checks = [vars(Check("power", device, found_))]
        progress.append(path, line | {"why": None, "benchmark": None, "checks": checks})
    collect(TINY, tmp_path)
    (run,) = read_runs([str(files_of(TINY, tmp_path)["json"])], need_records=False)
    studies = [one for one in read_studies(run.extras) if isinstance(one, Check)]
    assert [(one.device_name, one.found) for one in studies if one.name == "power"] == [
        ("A", "2"),
        ("B", "3"),
    ]


def test_an_error_beside_a_check_is_told(tmp_path: Path) -> None:
    path = files_of(TINY, tmp_path)["tests"]
    progress.append(path, {"step": "one", "key": "k", "collected": ["x.py::a"]})
    line = {"step": "one", "key": "k", "test": "x.py::a", "outcome": "failed", "cell": False}
    checks = [vars(Check("power", "A", "1 W"))]
    progress.append(path, line | {"why": "it broke", "benchmark": None, "checks": checks})
    collect(TINY, tmp_path)
    studies = found(tmp_path)
    assert (studies["a"]["found"], studies["a"]["held"]) == ("it broke", False)


def test_no_part_changes_a_setting_of_the_gpu() -> None:
    sources = [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "energybench").rglob("*.py")]
    for path in sources:
        if path.name == "power_limit.py":  # only the study of operating points uses it, when asked
            continue
        text = path.read_text(encoding="utf-8")
        assert "nvmlDeviceSet" not in text, path
        assert "nvidia-smi" not in text, path


def test_no_part_sets_a_power_limit() -> None:
    assert not any(
        "operating_point" in word or "power-limit" in word
        for part in PARTS
        for step in part.steps(Place(ROOT / "nowhere", rehearsal=False))
        for word in step.arguments
    )


def test_the_steps_of_every_part_name_files_that_exist(tmp_path: Path) -> None:
    for part in PARTS:
        for rehearsal in (False, True):
            for step in part.steps(Place(tmp_path, rehearsal)):
                if step.module is None:
                    assert (ROOT / step.arguments[0]).is_file(), step
                else:
                    assert (ROOT / f"{step.module.replace('.', '/')}.py").is_file(), step


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are told of their parent's end")
def test_the_session_ends_when_its_runner_is_killed(tests: Path) -> None:
    process = start(tests)
    wait_for_the_slow_one(tests)
    process.kill()
    process.wait()
    end = time.monotonic() + 20.0
    while _sessions_of(tests):
        assert time.monotonic() < end, "the session measures unseen"
        time.sleep(0.1)


def _sessions_of(tests: Path) -> list[int]:
    import psutil

    return [
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if str(tests) in (one.info["cmdline"] or ())
    ]
