"""Blocks of a run on a cluster, run by hand where there is none."""

import json
from pathlib import Path

import pytest
from support.fake_slurm import fake_slurm
from support.locks import holding
from support.sessions import command

from energybench.records.event import ENDED, REFUSED, SKIPPED, STARTED
from energybench.records.run_folder import read_contents

QUICK = ("test_bench.py", "--energy-max-epochs=2", "--energy-tolerance=100")
LIMIT_S = 240.0


@pytest.fixture
def run(session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run; what is sent to Slurm runs nowhere."""
    fake_slurm(Path(session.path, "bin"), monkeypatch)
    monkeypatch.setenv("SLURMD_NODENAME", "n7")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    return Path(session.path, "run")


def submit(run: Path, *arguments: str, options: tuple[str, ...] = ()) -> str:
    code, output = command(run.parent, "submit", f"--run={run}", *options, "--", *arguments)
    assert code == 0, output
    return output


def block(run: Path, number: int = 0) -> tuple[int, str]:
    return command(run.parent, "run-block", str(run), str(number), timeout=LIMIT_S)


def events(run: Path) -> list[str]:
    return [event.what for event in read_contents(run).events]


def test_what_is_sent_to_slurm(run: Path) -> None:
    options = ("--kinds=h100,a100", "--slurm=partition=gpu gres=gpu:1")
    said = submit(run, *QUICK, "--energy-seeds=3", options=options)
    assert "job 12: 3 blocks on h100\njob 12: 3 blocks on a100\n" in said
    sent = Path(run.parent, "bin", "sbatch.arguments").read_text().splitlines()
    first, second = [line for line in sent if "--array" in line]
    for wanted in ("--partition=gpu", "--gres=gpu:1", "--exclusive", "--requeue", "--nodes=1"):
        assert wanted in first.split()
    assert {"--constraint=h100", "--array=0-2"} <= set(first.split())
    assert {"--constraint=a100", "--array=3-5"} <= set(second.split())
    script = Path(run.parent, "bin", "sbatch.script").read_text()
    assert script.splitlines()[-1].endswith(f'run-block {run} "$((SLURM_ARRAY_TASK_ID + 0))"')
    code, output = command(run.parent, "submit", f"--run={run}", "--", *QUICK)
    assert code == 2
    assert "has the plan of another run (it differs in arguments, kinds, blocks)" in output


def test_a_failure_of_a_cell_is_a_result(session: pytest.Pytester, run: Path) -> None:
    arguments = (*QUICK, "--energy-methods=baseline,diverge,baseline-tf32")
    submit(run, *arguments)
    code, output = block(run)
    assert code == 0, output
    assert sorted(events(run)) == [ENDED, SKIPPED, STARTED, STARTED]
    assert events(run)[-1] == ENDED
    origins = {entry.origin for entry in read_contents(run).entries}
    assert [(one.node, one.job, one.restart) for one in origins if one] == [("n7", "12_0", 0)]
    assert list(run.parent.glob("*.json")) == []
    code, told = command(run.parent, "status", str(run))
    assert "diverge failed: " in told
    assert "1 blocks: 1 done" in told
    before = read_contents(run)
    code, output = block(run)
    assert code == 0, output
    assert read_contents(run).entries == before.entries, "nothing ran again"
    shown = session.runpytest_subprocess(*arguments, f"--energy-run={run}", timeout=LIMIT_S)
    shown.assert_outcomes(passed=1, failed=1, skipped=1)
    for others, says in (
        (("--energy-tolerance=5",), "the options differ from the plan's in tolerance"),
        (("--energy-seeds=2",), "the plan has no tiny-"),
        (("--energy-kind=h100",), "the run has no kind 'h100'; it names no kinds"),
    ):
        refused = session.runpytest_subprocess(
            *arguments, f"--energy-run={run}", *others, timeout=LIMIT_S
        )
        assert refused.ret == pytest.ExitCode.USAGE_ERROR
        refused.stderr.fnmatch_lines([f"ERROR: *{says}*"])


def test_a_block_that_cannot_run_here_says_why_and_ends_at_once(
    session: pytest.Pytester, run: Path, cache: Path
) -> None:
    submit(run, *QUICK, "--energy-methods=baseline")
    with holding("cpu", cache):
        code, output = block(run)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert events(run) == [REFUSED]
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps(plan | {"data": "0123456789abcdef"}))
    assert block(run)[0] == pytest.ExitCode.USAGE_ERROR
    held, unlike = (event.reason for event in read_contents(run).events)
    assert held is not None
    assert held.startswith("another measurement runs on this machine's cpu")
    assert unlike is not None
    assert unlike.startswith("the data digits are others here")
    assert not read_contents(run).entries
    told = command(run.parent, "status", str(run))[1]
    assert "n7 (job 12_0) refused: the data digits are others here" in told
    Path(session.path, "test_bench.py").write_text(
        'import pytest\n\n\n@pytest.mark.energy_matrix(models=["tiny2"], methods=["baseline"])\n'
        "def test_other(cell, energy_cell):\n    energy_cell(cell)\n"
    )
    code, output = block(run)
    assert "the tests here are others than those of the plan: tiny-baseline-seed0" in output
    assert command(run.parent, "run-block", str(run), "7")[1].endswith("it has 0 to 0\n")


def test_manifests_for_kubernetes_send_nothing(run: Path) -> None:
    def refused(*words: str) -> str:
        code, output = command(run.parent, "submit", f"--run={run}", *words, "--", *QUICK)
        assert code == 2
        return output

    k8s = ("--engine=k8s", "--dry-run", "--image=energybench:0.1")
    assert "give --dry-run, too" in refused("--engine=k8s")
    assert "needs --image=IMAGE and --volume=CLAIM:/PATH" in refused(*k8s, "--volume=work")
    assert "are for --engine=k8s" in refused("--dry-run")
    said = submit(run, *QUICK, "--energy-seeds=2", options=(*k8s, f"--volume=work:{run.parent}"))
    assert f"kubectl apply -f {run}/k8s" in said
    assert "wrote 2 manifests, which have not run on any cluster yet" in said
    assert len(list((run / "k8s").glob("*.json"))) == 2
    assert not Path(run.parent, "bin", "sbatch.arguments").exists()
