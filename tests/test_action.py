"""`action.yml` and the workflows of docs/ci.md: published schemas, and the scripts run in bash."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML  # comes with check-jsonschema
from support.histories import dated
from support.saved_runs import cell, estimated

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = YAML(typ="safe").load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
WORKFLOWS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
INPUT = re.compile(r"\$\{\{ *inputs\.([\w-]+) *\}\}")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are for bash")


def checked(path: Path, schema: str) -> None:
    """Check a file against a schema that check-jsonschema carries; it fetches nothing."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_fits_the_schema_of_actions() -> None:
    checked(ROOT / "action.yml", "github-actions")


def test_the_workflows_of_the_page_fit_their_schemas(tmp_path: Path) -> None:
    schemas = ["github-workflows", "github-workflows", "gitlab-ci"]
    for number, (text, schema) in enumerate(zip(WORKFLOWS, schemas, strict=True)):
        path = tmp_path / f"{number}.yml"
        path.write_text(text, encoding="utf-8")
        checked(path, schema)


def test_the_page_names_every_input_with_its_default() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) \|", PAGE[PAGE.index("| input |") :], re.MULTILINE)
    assert [name for name, _ in rows] == list(ACTION["inputs"])
    for name, default in rows:
        written = ACTION["inputs"][name]["default"]
        assert f"`{written}`" == default or (not written and "`" not in default), name


def test_the_page_uses_inputs_that_exist() -> None:
    for text in WORKFLOWS[:2]:
        for job in YAML(typ="safe").load(text)["jobs"].values():
            for step in job["steps"]:
                if step["uses"].startswith("energybench/"):
                    assert step.get("with", {}).keys() <= ACTION["inputs"].keys()


def test_no_input_becomes_text_of_a_script() -> None:
    assert not [step for step in STEPS if "${{" in step.get("run", "")]


@dataclass
class Job:
    """A job that uses the action: its folder, and what GitHub gives the scripts."""

    folder: Path
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    log: str = ""

    @property
    def summary(self) -> str:
        path = self.folder / "summary.md"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def run(self, identity: str, inputs: Mapping[str, str]) -> int:
        """Run the script of the step with this id or name; return its exit status."""
        (step,) = [one for one in STEPS if identity in (one.get("id"), one.get("name"))]
        output = self.folder / "output"
        output.write_text("")
        variables = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.environ.get("PYTHONPATH", "") or str(ROOT),
            "HOME": str(self.folder),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            "GITHUB_SHA": "0123456789abcdef",
            "GITHUB_ACTION_PATH": str(ROOT),
            **{name: self._value(text, inputs) for name, text in step.get("env", {}).items()},
        }
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        command = [
            "bash",
            "--noprofile",
            "--norc",
            "-eo",
            "pipefail",
            str(script),
        ]  # as GitHub does
        done = subprocess.run(
            command, env=variables, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        self.log = done.stdout + done.stderr
        self.outputs[identity] = dict(line.split("=", 1) for line in output.read_text().split())
        return done.returncode

    def _value(self, text: str, inputs: Mapping[str, str]) -> str:
        """What an expression of `env` gives."""
        found = re.fullmatch(r"\$\{\{ (inputs|steps)\.(.+?) \}\}", text)
        assert found is not None, text
        if found[1] == "inputs":
            default = str(ACTION["inputs"][found[2]]["default"])
            return inputs.get(found[2], default)
        step, _, name = found[2].split(".")
        return self.outputs.get(step, {}).get(name, "")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job whose `python` and `energybench` are those of this environment."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, words in (("python", ""), ("energybench", "-m energybench ")):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        path.chmod(0o755)
    return Job(tmp_path)


def days(job: Job, count: int) -> None:
    """Runs of the default branch, one a day."""
    for day in range(count):
        name = f"202611{day + 1:02d}T000000Z-abc.json"
        dated(job.folder / ".energybench/history" / name, day, [cell(joules=1000.0 + day)])


def test_a_run_within_the_limits_passes_and_is_kept(job: Job) -> None:
    days(job, 8)
    dated(job.folder / "new.json", 20, [cell(joules=1010.0)])
    inputs = {"results": "new.json"}
    assert job.run("measure", inputs) == 0
    assert job.outputs["measure"] == {"results": "new.json", "status": "0"}
    assert job.run("gate", inputs) == 0
    assert job.outputs["gate"] == {"status": "0"}
    assert job.run("trend", inputs) == 0
    assert "**Within the limits**" in job.summary
    assert "**No regression beyond the limits" in job.summary
    assert job.run("Write the points of github-action-benchmark", inputs) == 0
    assert (
        "energy by rapl" in (job.folder / ".energybench/results/action-benchmark.json").read_text()
    )
    assert job.run("keep", inputs) == 0
    kept = sorted((job.folder / ".energybench/history").iterdir())
    assert len(kept) == 9
    assert kept[-1].name.endswith("Z-0123456.json")
    assert job.run("End by what was found", inputs) == 0


def test_a_run_that_is_worse_fails_with_annotations_and_a_summary(job: Job) -> None:
    days(job, 8)
    dated(job.folder / "new.json", 20, [cell(joules=1500.0)])
    inputs = {"results": "new.json"}
    job.run("measure", inputs)
    assert job.run("gate", inputs) == 0  # the last step ends the job, after the upload
    assert job.outputs["gate"] == {"status": "1"}
    assert (
        "::error title=energybench::energybench: worse than allowed: resnet18 baseline" in job.log
    )
    assert "+48.96 %25, limit 5 %25" in job.log
    assert job.run("trend", inputs) == 0
    assert job.outputs["trend"] == {"status": "1"}
    assert "regression since new" in job.log
    assert job.summary.count("**Worse than allowed**") == 2
    assert job.run("End by what was found", inputs) == 1
    assert "the comparison ended with status 1" in job.log


def test_an_estimate_is_refused_beside_a_measurement(job: Job) -> None:
    days(job, 8)
    dated(job.folder / "new.json", 20, [estimated()])
    inputs = {"results": "new.json"}
    job.run("measure", inputs)
    job.run("gate", inputs)
    assert job.outputs["gate"] == {"status": "2"}
    assert "would compare an estimate with a measurement" in job.log
    assert "**Not judged**" in job.summary
    job.run("trend", inputs)
    assert job.outputs["trend"] == {"status": "2"}
    assert "two sources of energy in its history" in job.log
    assert job.run("End by what was found", inputs) == 1


def test_the_first_run_has_nothing_to_compare_with(job: Job) -> None:
    dated(job.folder / "new.json", 20, [cell(), cell("stego", joules=600.0)])
    inputs = {"results": "new.json"}
    job.run("measure", inputs)
    job.run("gate", inputs)
    job.run("trend", inputs)
    assert "this one is the first" in job.summary
    assert "stego" in job.summary
    assert job.run("End by what was found", inputs) == 0


def test_a_baseline_of_ones_own_and_no_threshold(job: Job) -> None:
    dated(job.folder / "old file.json", 1, [cell()])
    dated(job.folder / "new.json", 2, [cell(joules=9000.0)])
    inputs = {"results": "new.json", "baseline": "old file.json", "threshold": ""}
    job.run("measure", inputs)
    job.run("gate", inputs)
    assert job.outputs["gate"] == {"status": "0"}
    assert "no limit given" in job.summary
    missing = inputs | {"baseline": "gone.json"}
    job.run("gate", missing)
    assert job.outputs["gate"] == {"status": "2"}
    assert "cannot read gone.json" in job.log


def test_an_input_is_never_run(job: Job) -> None:
    dated(job.folder / "new.json", 2, [cell()])
    evil = "$(touch owned); touch owned `touch owned`"
    names = ("baseline", "threshold", "tolerance", "against", "history")
    inputs = {"results": "new.json", **dict.fromkeys(names, evil)}
    for step in ("measure", "gate", "trend"):
        job.run(step, inputs)
    assert not (job.folder / "owned").exists()


def test_the_suite_runs_with_arguments_as_a_shell_reads_them(job: Job) -> None:
    (job.folder / "test_it.py").write_text(
        "def test_one(benchmark):\n    benchmark(sum, [1])\n\n"
        "def test_two(benchmark):\n    benchmark(sum, [2])\n\n"
        "def test_three():\n    raise AssertionError\n"
    )
    (job.folder / "pytest.ini").write_text("[pytest]\n")
    inputs = {"arguments": "test_it.py -p no:cacheprovider -k 'one or two'", "tolerance": "2"}
    assert job.run("measure", inputs) == 0
    assert "2 passed, 1 deselected" in job.log
    assert job.outputs["measure"] == {"results": ".energybench/results/run.json", "status": "0"}
    assert (job.folder / ".energybench/results/junit.xml").is_file()
    job.run("gate", inputs)
    assert job.outputs["gate"] == {"status": "2"}
    assert "has no energybench records" in job.log


def test_a_suite_that_leaves_no_results_ends_the_action(job: Job) -> None:
    assert job.run("measure", {"arguments": "no_such_folder -p no:cacheprovider"}) == 1
    assert "::error title=energybench::no results in .energybench/results/run.json" in job.log


def test_at_most_100_runs_are_kept(job: Job) -> None:
    folder = job.folder / ".energybench/history"
    folder.mkdir(parents=True)
    for number in range(105):
        (folder / f"20250101T{number:06d}Z-abc.json").write_text("{}")
    dated(job.folder / "new.json", 2, [cell()])
    job.outputs["measure"] = {"results": "new.json"}
    assert job.run("keep", {}) == 0
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 100
    assert names[0] == "20250101T000006Z-abc.json"
    assert names[-1].endswith("-0123456.json")
