"""Sessions whose cells several ranks run together: led by pytest, or started by torchrun."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.background import in_background
from support.waiting import wait_until

from energybench.records.journal import Entry, Journal

QUICK = ("--energy-max-epochs=2", "--energy-tolerance=100")
TWO = ("--energy-world-size=2", *QUICK)
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def journal(session: pytest.Pytester) -> Journal:
    return Journal(Path(session.path, ".energybench", "journal.jsonl"))


def entries(session: pytest.Pytester) -> tuple[Entry, ...]:
    found = journal(session).read()
    assert found.damaged == ()
    return found.entries


def benchmarks(session: pytest.Pytester) -> dict[str, Any]:
    data = json.loads(Path(session.path, "run.json").read_text())
    return {one["extra_info"]["energybench"]["method"]: one for one in data["benchmarks"]}


def interrupted(session: pytest.Pytester, number: int, *arguments: str) -> tuple[int, str]:
    """Status and output of a session that is sent signal `number` in its second cell."""
    process = in_background(session.path, *arguments)
    # a line that is being written is not whole yet
    wait_until(lambda: journal(session).read().entries or process.poll() is not None, 120.0)
    time.sleep(1.0)
    process.send_signal(number)
    output, _ = process.communicate(timeout=90)
    return process.returncode, output


def ranks_alive(session: pytest.Pytester) -> list[int]:
    """Processes that still work in the session's folder 10 s later, other than this one."""
    for _ in range(100):
        found = _working_in(session.path)
        if not found:
            break
        time.sleep(0.1)
    return found


def _working_in(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.cwd() == str(folder):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_ranks_that_die_cost_their_cell_and_nothing_else(session: pytest.Pytester) -> None:
    methods = ("--energy-methods=baseline,die,stumble,diverge,prune", "--energy-recalibrate-bn")
    result = session.runpytest_subprocess(*TWO, *methods, "--benchmark-json=run.json")
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines_random(
        [
            "tiny die seed 0: rank 1: killed by SIGKILL",
            "tiny stumble seed 0: rank 1: ValueError: only here",
            "tiny diverge seed 0: the training loss of epoch 1 is nan; *",
        ]
    )
    assert ranks_alive(session) == []
    timed = benchmarks(session)
    assert set(timed) == {"baseline", "die", "stumble", "diverge", "prune"}
    for method in ("die", "stumble"):  # what rank 0 has measured is kept
        assert timed[method]["extra_info"]["kwh"] > 0
    record = timed["prune"]["extra_info"]["energybench"]
    assert record["protocol"]["world_size"] == 2
    assert record["placement"] == {"nodes": [0, 0], "devices": ["cpu", "cpu"], "threads": [1, 1]}
    assert record["phases"]["finetune"]["joules"].keys() == {"cpu:0"}
    assert timed["prune"]["stats"]["total"] == pytest.approx(
        record["phases"]["finetune"]["duration_s"]
    )

    resumed = session.runpytest_subprocess(*TWO, *methods, "--energy-resume")
    resumed.stdout.fnmatch_lines(["resumed from .energybench/journal.jsonl: 5 cells"])
    assert len(entries(session)) == 5
    alone = session.runpytest_subprocess(*QUICK, "-k", "baseline", methods[1], "--energy-resume")
    alone.assert_outcomes(passed=1)
    assert len(entries(session)) == 6, "one process is another protocol"
    starts = [one.record.start for one in entries(session) if one.record.method == "baseline"]
    losses = [
        (one.pretrained.loss, one.compressed.loss, one.test.loss)
        for one in starts
        if one is not None and one.test is not None
    ]
    assert len(losses) == 2
    assert losses[0] == pytest.approx(losses[1]), "epoch 0 is that of one process"
    assert losses[0][0] != losses[0][1], "batch norms were estimated anew"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_all_ranks_and_keeps_the_cell(
    session: pytest.Pytester, number: int
) -> None:
    arguments = ("-m", "pytest", *TWO, "--energy-methods=slow,baseline")  # shuffled
    returncode, output = interrupted(session, number, *arguments)
    assert returncode == pytest.ExitCode.INTERRUPTED, output
    baseline, slow = entries(session)
    assert (baseline.record.status, slow.record.status) == ("ok", "interrupted")
    assert "load" in slow.record.phases
    assert ranks_alive(session) == []


SLOW_TO_WRITE = """
import time


def pytest_benchmark_update_json(output_json):
    time.sleep(3.0)
"""


def test_under_torchrun_one_rank_writes_and_a_lone_failure_ends_the_launch(
    session: pytest.Pytester,
) -> None:
    session.makeconftest(SLOW_TO_WRITE)  # torchrun ends the first rank meanwhile
    methods = "--energy-methods=baseline,diverge,stumble"
    result = session.run(
        sys.executable, *TORCHRUN, "-m", "pytest", *QUICK, methods, "--benchmark-json=run.json"
    )
    assert result.stdout.str().count("energybench: energy of fine-tuning") == 1
    result.stdout.fnmatch_lines(["*rank 1: ValueError: only here; --energy-resume continues *"])
    found = {entry.record.method: entry.record for entry in entries(session)}
    assert found["baseline"].status == "ok"
    assert found["baseline"].protocol.world_size == 2
    assert found["stumble"].error == "rank 1: ValueError: only here"
    assert set(benchmarks(session)) == set(found)
    assert len(entries(session)) == len(found)
    assert ranks_alive(session) == []


def test_under_torchrun_the_first_rank_has_time_to_write(session: pytest.Pytester) -> None:
    """Where a test fails on all, each rank's exit status would have torchrun end the others."""
    session.makeconftest(SLOW_TO_WRITE)
    methods = "--energy-methods=baseline,diverge"
    result = session.run(
        sys.executable, *TORCHRUN, "-m", "pytest", *QUICK, methods, "--benchmark-json=run.json"
    )
    assert set(benchmarks(session)) == {"baseline", "diverge"}
    assert "energybench: energy of fine-tuning" in result.stdout.str()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_under_torchrun_an_interruption_lets_the_first_rank_write(
    session: pytest.Pytester, number: int
) -> None:
    """Every rank is sent the signal; those that have nothing to write do not leave it alone."""
    options = ("--energy-methods=slow,baseline", "--benchmark-json=run.json")  # shuffled
    _, output = interrupted(session, number, *TORCHRUN, "-m", "pytest", *QUICK, *options)
    found = [(entry.record.method, entry.record.status) for entry in entries(session)]
    assert found == [("baseline", "ok"), ("slow", "interrupted")], output
    assert "baseline" in benchmarks(session)
    assert "energybench: energy of fine-tuning" in output
    assert ranks_alive(session) == []


def test_single_steps_are_not_for_several_ranks(session: pytest.Pytester) -> None:
    session.makepyfile(
        test_bench="""
        import pytest
        from energybench.runs.studies.steps import prepare


        @pytest.mark.energy_matrix(models=["tiny"], methods=["baseline"])
        def test_step(cell, energy_session):
            prepare(cell, energy_session, 4, 16)
        """
    )
    result = session.runpytest_subprocess("--energy-world-size=2", "--tb=line")
    result.stdout.fnmatch_lines(["*this test measures in its own process; leave out *"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--energy-world-size=3",), "batch_size is 64, *name a multiple of 3"),
        (("--energy-world-size=2", "--energy-checkpoint"), "--energy-checkpoint is for one *"),
        (("--energy-world-size=2", "--energy-compile"), "compile is for one process; *"),
        (("--energy-world-size=0",), "--energy-world-size is 0; it must be at least 1"),
        (
            ("--energy-world-size=2", "--energy-meter=rapl,nvml", "-oenergy_replay="),
            "rank 0: meter rapl is not available: *",
        ),
    ],
)
def test_what_ranks_cannot_do_is_refused_in_one_line(
    session: pytest.Pytester, options: tuple[str, ...], says: str
) -> None:
    result = session.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {says}"])
    assert ranks_alive(session) == []


def test_ranks_of_ranks_are_refused(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    result = session.runpytest_subprocess(*TWO)
    result.stderr.fnmatch_lines(["ERROR: WORLD_SIZE=2 is set: *leave out world_size"])
