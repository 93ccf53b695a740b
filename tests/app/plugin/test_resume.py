"""The journal of a session, and sessions that go on where another ended."""

import gzip
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.locks import start_holder
from support.saved_runs import cell
from support.sessions import ForkedSession

from energybench.app.plugin.torchrun import interruptible
from energybench.records.entry import to_line
from energybench.records.journal import Entry, Journal
from energybench.records.record import RunRecord

QUICK = ("--energy-max-epochs=2", "--energy-tolerance=100")
REPEATABLE = "--energy-methods=baseline,stego-fp32"
"""`stego` itself measures which arithmetic is cheaper here, and may find another the next time."""
MATRIX = ("--energy-models=tiny,tiny2", "--energy-seeds=2", REPEATABLE)


def journal(session: pytest.Pytester) -> Journal:
    return Journal(Path(session.path, ".energybench", "journal.jsonl"))


def entries(session: pytest.Pytester) -> tuple[Entry, ...]:
    found = journal(session).read()
    assert found.damaged == ()
    return found.entries


def latest(session: pytest.Pytester) -> tuple[Entry, ...]:
    """Each cell as it was journaled last: one that ran before its baseline is there twice."""
    return tuple(journal(session).read().counted.values())


def benchmarks(session: pytest.Pytester, name: str = "run.json") -> dict[str, dict[str, Any]]:
    data = json.loads(Path(session.path, name).read_text())
    return {one["name"]: one for one in data["benchmarks"]}


def course(record: RunRecord) -> tuple[Any, ...]:
    """All that does not depend on clocks."""
    assert record.test is not None
    losses = [(epoch.train_loss, epoch.validation_loss) for epoch in record.epochs]
    return record.method, record.seed, losses, record.test.outcomes, record.best_epoch


def test_every_finished_cell_is_in_the_journal(session: pytest.Pytester) -> None:
    session.runpytest_subprocess(*QUICK, "--benchmark-json=run.json").assert_outcomes(passed=2)
    early, baseline, stego = entries(session)
    methods = [entry.record.method for entry in (early, baseline, stego)]
    assert methods == ["stego", "baseline", "stego"], "this block's order"
    assert early.key == stego.key
    assert early.record.phases == stego.record.phases, "it ran once"
    assert early.record.reference_value is None
    assert stego.record.reference_source == "this run"
    timed = benchmarks(session)["test_finetune[tiny-stego-seed0]"]
    assert stego.benchmark is not None
    assert stego.benchmark["stats"]["total"] == timed["stats"]["total"]
    record = json.loads(json.dumps(stego.record.to_json()))
    assert record == timed["extra_info"]["energybench"]


def test_a_reference_on_demand_is_kept_too(session: pytest.Pytester) -> None:
    options = ("--energy-models=tiny2", "--energy-max-epochs=3", "--energy-tolerance=100")
    session.runpytest_subprocess(*options, "-k", "stego").assert_outcomes(passed=1)
    baseline, stego = entries(session)
    assert (baseline.record.method, baseline.benchmark) == ("baseline", None)
    resumed = session.runpytest_subprocess(*options, "-k", "stego", "--energy-resume")
    resumed.assert_outcomes(passed=1)
    assert len(entries(session)) == 2
    assert stego.record.reference_source == "this run"


def test_a_session_that_resumes_runs_nothing_again(session: pytest.Pytester) -> None:
    session.runpytest_subprocess(*QUICK, "--benchmark-json=run.json").assert_outcomes(passed=2)
    result = session.runpytest_subprocess(
        *QUICK, "--energy-resume", "--benchmark-json=again.json", "--benchmark-autosave"
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["resumed from .energybench/journal.jsonl: 2 cells"])
    assert len(entries(session)) == 3
    before, after = benchmarks(session), benchmarks(session, "again.json")
    for name, old in before.items():
        new = after[name]
        assert new["stats"]["total"] == pytest.approx(old["stats"]["total"], rel=1e-12)
        assert new["extra_info"]["energybench"] == old["extra_info"]["energybench"]
        assert new["extra_info"]["resumed"]
    (saved,) = Path(session.path, ".benchmarks").rglob("*.json")
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "tiny-stego-seed0" in done.stdout


def test_a_session_that_waited_for_another_takes_what_that_one_measured(
    session: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    holder = start_holder("cpu", cache)
    late = ForkedSession(session.path, (*QUICK, "--energy-resume", "--energy-methods=baseline"))
    late.wait_until(lambda: "waiting until it ends" in late.output())
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(session.path))
    session.runpytest_subprocess(*QUICK, "--energy-resume").assert_outcomes(passed=2)
    holder.communicate()
    output, _ = late.communicate(timeout=60)
    assert "resumed from .energybench/journal.jsonl: 1 cells" in output
    baselines = [one.record for one in entries(session) if one.record.method == "baseline"]
    assert len(baselines) == 1, "it was measured once"
    (stego,) = [one.record for one in latest(session) if one.record.method == "stego"]
    assert stego.reference_id == baselines[0].id


def test_another_protocol_reuses_nothing(session: pytest.Pytester) -> None:
    session.runpytest_subprocess(*QUICK).assert_outcomes(passed=2)
    for other in ("--energy-batch-size=32", "--energy-pue=1.1", "--energy-trace"):
        session.runpytest_subprocess(*QUICK, other, "--energy-resume").assert_outcomes(passed=2)
    assert len(latest(session)) == 8


def test_a_failure_stays_a_failure_and_an_interruption_runs_again(
    session: pytest.Pytester,
) -> None:
    options = (*QUICK, "--energy-methods=baseline,diverge,stego")
    session.runpytest_subprocess(*options).assert_outcomes(passed=2, failed=1)
    result = session.runpytest_subprocess(*options, "--energy-resume")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*tiny diverge seed 0: *"])
    assert len(latest(session)) == 3


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/", "the journal / is a folder; name a file in it"),
        ("", "--energy-journal is empty; give it a value"),
        ("folder", "the journal folder is a folder; name a file in it"),
        ("/dev/null", "the journal /dev/null is not a plain file; name another one"),
        ("file/journal.jsonl", "cannot write the journal file/journal.jsonl (*); name another"),
        ("x" * 300, "(File name too long); name another journal"),
        ("file", "file is another file than a journal; name another one"),
        ("packed.jsonl", "the journal packed.jsonl went through another program"),
    ],
)
def test_a_journal_that_cannot_be_written_is_refused_before_the_first_cell(
    session: pytest.Pytester, name: str, says: str
) -> None:
    Path(session.path, "folder").mkdir()
    Path(session.path, "file").write_text("notes")
    line = to_line(Entry("key", cell(), None, "2026"))
    Path(session.path, "packed.jsonl").write_bytes(gzip.compress(line))
    result = session.runpytest_subprocess(*QUICK, f"--energy-journal={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "passed" not in result.stdout.str()
    result.stderr.fnmatch_lines([f"ERROR: *{says}*"])
    assert list(session.path.rglob("*.lock")) == []
    assert not Path("/.lock").exists()
    assert not Path("/dev/null.lock").exists()


def start(session: pytest.Pytester, *options: str) -> ForkedSession:
    return ForkedSession(session.path, (*QUICK, *MATRIX, *options))


def until_in_journal(session: pytest.Pytester, count: int, process: ForkedSession) -> None:
    process.wait_until(lambda: len(journal(session).read().entries) >= count)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_session_keeps_what_it_has(session: pytest.Pytester, number: int) -> None:
    process = start(session, "--benchmark-json=run.json", "--energy-max-epochs=50")
    until_in_journal(session, 1, process)
    time.sleep(0.2)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    *finished, last = entries(session)
    assert {one.record.status for one in finished} <= {"ok"}
    assert last.record.status in ("ok", "interrupted")
    assert "energy of fine-tuning" in output
    assert output.splitlines()[-1] == (
        "energybench: interrupted; the same command with --energy-resume goes on from "
        ".energybench/journal.jsonl"
    )
    data = json.loads(Path(session.path, "run.json").read_text())
    shown = [one["extra_info"]["energybench"] for one in data["benchmarks"]]
    shown += data["energybench"]["records"]
    cells = {(one["model"], one["method"], one["seed"]) for one in shown}
    records = [entry.record for entry in latest(session)]
    assert cells == {(record.model, record.method, record.seed) for record in records}


def test_a_lost_connection_costs_neither_the_cell_nor_the_json(session: pytest.Pytester) -> None:
    ours, theirs = os.openpty()
    with open(os.ttyname(theirs), "w") as terminal:
        options = ("--benchmark-json=run.json", "--energy-max-epochs=50")
        process = ForkedSession(session.path, (*QUICK, *MATRIX, *options), terminal, terminal)

    def connected() -> bool:
        if select.select([ours], [], [], 0.0)[0]:
            os.read(ours, 4096)  # as the other side of a connection does
        return not journal(session).read().entries

    process.wait_until(lambda: not connected())
    os.close(theirs)
    os.close(ours)  # from here on every write to the terminal fails
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=120) == pytest.ExitCode.INTERRUPTED
    data = json.loads(Path(session.path, "run.json").read_text())
    shown = len(data["benchmarks"]) + len(data["energybench"]["records"])
    assert shown == len(latest(session)) >= 1


def test_under_nohup_a_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


LIMIT = """
import signal
import pytest

def end(number, frame):
    {}

signal.signal(signal.SIGALRM, end)

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    signal.setitimer(signal.ITIMER_REAL, 3.0 if "slow" in item.name else 0.0)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
"""


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ('pytest.fail("Timeout (>3.0s) from another plugin.")', pytest.ExitCode.TESTS_FAILED),
        ('raise TimeoutError("too slow")', pytest.ExitCode.TESTS_FAILED),
        ('pytest.exit("the memory is full")', pytest.ExitCode.INTERRUPTED),
    ],
    ids=["pytest.fail", "TimeoutError", "pytest.exit"],
)
def test_a_cell_that_another_plugin_cut_short_runs_again_and_saves_nothing(
    session: pytest.Pytester, ends: str, status: pytest.ExitCode
) -> None:
    session.makeconftest(LIMIT.format(ends))
    options = (*QUICK, "--energy-methods=baseline,slow", "-p", "no:randomly")
    result = session.runpytest_subprocess(*options)
    assert result.ret == status
    (slow,) = [entry.record for entry in latest(session) if entry.record.method == "slow"]
    assert slow.status == "interrupted"
    (row,) = [line for line in result.outlines if line.startswith("tiny     slow")]
    assert "%" not in row.replace("0.0 %", ""), "no saving"
    assert "interrupted (" in row
    assert "the same command with --energy-resume" in result.outlines[-1]
    again = session.runpytest_subprocess(*options, "--energy-resume")
    assert again.ret == status
    ran = [entry.record.id for entry in entries(session) if entry.record.method == "slow"]
    assert len(set(ran)) == 2, "it ran again"


def test_a_killed_cell_goes_on_within_its_fine_tuning(session: pytest.Pytester) -> None:
    long = ("--energy-models=tiny", "--energy-seeds=1", "--energy-max-epochs=12", REPEATABLE)
    session.runpytest_subprocess(*QUICK, *long, "--energy-journal=whole.jsonl")
    whole = {
        entry.record.method: course(entry.record)
        for entry in Journal(Path(session.path, "whole.jsonl")).read().entries
    }
    saved = Path(session.path, ".energybench", "checkpoints")
    process = start(session, *long, "--energy-checkpoint")
    process.wait_until(lambda: list(saved.glob("*.pt")), 0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = len(entries(session))
    result = session.runpytest_subprocess(
        *QUICK, *long, "--energy-checkpoint", "--energy-resume", "--benchmark-json=run.json"
    )
    result.assert_outcomes(passed=2)
    found = [entry.record for entry in entries(session)]
    assert {record.method: course(record) for record in found} == whole
    assert found[before].overhead["repeated"].duration_s > 0.0
    assert list(saved.iterdir()) == []
    for name, timed in benchmarks(session).items():  # as if nothing had happened in between
        record = next(one for one in found if f"-{one.method}-" in name)
        seconds = record.phases["finetune"].duration_s
        assert timed["stats"]["total"] == pytest.approx(seconds, rel=1e-9)
        assert timed["extra_info"]["kwh_overhead"] > 0.0


def test_killed_again_and_again_it_loses_and_repeats_nothing(session: pytest.Pytester) -> None:
    session.runpytest_subprocess(*QUICK, *MATRIX, "--energy-journal=whole.jsonl")
    expected = {
        (entry.record.model, *course(entry.record)[:2]): course(entry.record)
        for entry in Journal(Path(session.path, "whole.jsonl")).read().entries
    }
    assert len(expected) == 8
    chance = random.Random(7)
    kills = 0
    while kills < 12:
        before = len(journal(session).read().entries)
        process = start(session, "--energy-resume")
        if kills % 2:
            until_in_journal(session, before + 1, process)  # right after a cell
        else:
            time.sleep(chance.uniform(0.2, 3.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        found = entries(session)
        assert len(found) >= before
        ran = {(entry.key, entry.record.phases["finetune"].duration_s) for entry in found}
        assert len(ran) == len({entry.key for entry in found}), "none ran twice"
        if len(ran) == len(expected):
            os.unlink(journal(session).path)
    result = session.runpytest_subprocess(*QUICK, *MATRIX, "--energy-resume")
    assert result.ret == pytest.ExitCode.OK
    assert {
        (entry.record.model, *course(entry.record)[:2]): course(entry.record)
        for entry in latest(session)
    } == expected
    assert all(entry.record.reference_value is not None for entry in latest(session))
