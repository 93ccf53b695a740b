"""A matrix on a real Slurm of two nodes, which the tests start."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.sessions import ForkedSession, command
from support.slurm import Slurm, lives, slurm, until, why_not

from energybench.records.event import ENDED, STARTED
from energybench.records.journal import Contents, Entry, Journal
from energybench.records.record import RunRecord
from energybench.records.run_folder import read_contents
from energybench.runs.clusters.plan import RunFolder

QUICK = ("test_bench.py", "--energy-max-epochs=2", "--energy-tolerance=100")
HELD = (*QUICK, "--energy-methods=baseline,held")
LIMIT_S = 240.0
"""Seconds that a block may take on a busy machine."""
RESNET18 = ("test_finetune.py", "--energy-models=resnet18", "--energy-dataset=digits")
"""The same with a network of the paper, at a tolerance that no seed misses."""
BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with slurm(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture
def run(
    session: pytest.Pytester, cluster: Slurm, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The folder of a run; the cluster is idle before and after."""
    monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
    folder = Path(session.path, "run")
    yield folder
    for log in sorted(folder.glob("log/*.log")):
        print(f"{log.name}:\n{log.read_text()}")
    cluster.clear()


def submit(
    run: Path, *arguments: str, options: tuple[str, ...] = (), start: Path | None = None
) -> str:
    status, output = command(
        start or run.parent, "submit", f"--run={run}", *options, "--", *arguments
    )
    assert status == 0, output
    return output


def status(run: Path) -> str:
    code, output = command(run.parent, "status", str(run))
    assert code == 0, output
    return output


def starts(run: Path, method: str) -> int:
    events = read_contents(run).events
    return sum(
        one.what == STARTED and one.cell is not None and one.cell.method == method for one in events
    )


def ended(run: Path) -> int:
    return sum(event.what == ENDED for event in read_contents(run).events)


def course(record: RunRecord) -> tuple[Any, ...]:
    """All that does not depend on clocks."""
    assert record.test is not None
    losses = [(epoch.train_loss, epoch.validation_loss) for epoch in record.epochs]
    return record.method, record.seed, losses, record.test.outcomes, record.best_epoch


def courses(contents: Contents) -> list[tuple[Any, ...]]:
    return sorted(course(entry.record) for entry in contents.counted.values())


def measured(contents: Contents) -> list[Entry]:
    """Every measurement that ended well, once."""
    found = {entry.record.id: entry for entry in contents.entries if entry.record.status == "ok"}
    return list(found.values())


def pid_on(cluster: Slurm, node: str) -> int:
    """The process that measures on a node, by the note in its lock."""
    return int((cluster.root / f"locks-{node}" / "cpu.lock").read_text())


@pytest.mark.parametrize(
    ("cells", "limit_s"),
    [
        pytest.param(QUICK, LIMIT_S, id="tiny"),
        pytest.param(
            (*RESNET18, "--energy-max-epochs=2", "--energy-tolerance=10"),
            1800.0,
            id="resnet18",
            marks=pytest.mark.every_model,
        ),
    ],
)
def test_blocks_on_two_nodes_give_the_records_of_the_serial_run(
    session: pytest.Pytester, run: Path, cells: tuple[str, ...], limit_s: float
) -> None:
    shutil.copy(BENCHMARKS / "test_finetune.py", session.path)
    matrix = (*cells, "--energy-seeds=2", "--energy-methods=baseline,stego-fp32,prune,lowrank")
    session.runpytest_subprocess(*matrix, "--energy-journal=serial.jsonl", timeout=limit_s)
    said = submit(run, *matrix)
    assert "2 blocks" in said
    assert f"--energy-run={run}" in said
    again = submit(run, *matrix)
    assert "0 of 2 blocks are done, 2 in the queue" in again
    shown = session.runpytest_subprocess(
        *matrix, f"--energy-run={run}", "--benchmark-json=run.json", timeout=limit_s
    )
    shown.assert_outcomes(passed=8)
    shown.stdout.fnmatch_lines([f"played back from {run}: 8 cells"])
    contents = read_contents(run)
    assert courses(contents) == courses(Journal(Path(session.path, "serial.jsonl")).read())
    assert len(measured(contents)) == 8, "none ran twice"
    nodes = {entry.record.seed: entry.origin.node for entry in contents.entries if entry.origin}
    assert sorted(nodes.values()) == ["n1", "n2"], "each block on its own node"
    assert all(entry.record.reference_id for entry in contents.counted.values())
    until(lambda: ended(run) == 2)
    data = json.loads(Path(session.path, "run.json").read_text())
    names = [one["name"] for one in data["benchmarks"]]
    serial = session.runpytest_subprocess(*matrix, "--collect-only", "-q", timeout=LIMIT_S)
    assert [f"{cells[0]}::{name}" for name in names] == serial.outlines[:8], "matrix order"
    assert "2 of 2 blocks are done, 0 in the queue" in submit(run, *matrix)
    for words in (("show", str(run)), ("journal", str(run)), ("export", str(run), "-o", "e.json")):
        assert command(run.parent, *words)[0] == 0
    assert len(json.loads(Path(session.path, "e.json").read_text())["benchmarks"]) == 8


def test_a_killed_task_and_a_requeue_within_a_cell_lose_and_repeat_nothing(
    session: pytest.Pytester, run: Path, cluster: Slurm
) -> None:
    submit(run, *HELD, options=("--kinds=h100",))
    until(lambda: starts(run, "held") == 1, LIMIT_S)
    watcher = ForkedSession(session.path, (*HELD, f"--energy-run={run}"))
    os.kill(pid_on(cluster, "n1"), signal.SIGKILL)
    until(lambda: cluster.ask("squeue", "-h") == "", LIMIT_S)
    output, _ = watcher.communicate(LIMIT_S)
    assert "tiny-held-seed0 is missing" in output
    told = status(run)
    assert "1 cut short" in told
    assert "tiny-held-seed0 was cut short on n1" in told
    assert "1 block" in submit(run, *HELD, options=("--kinds=h100",))
    watcher = ForkedSession(session.path, (*HELD, f"--energy-run={run}"))
    until(lambda: "attached to" in watcher.output(), LIMIT_S)
    watcher.send_signal(signal.SIGINT)
    output, _ = watcher.communicate(LIMIT_S)
    assert "detached, and the jobs go on" in output
    job = cluster.ask("squeue", "-hr", "-o", "%A")
    assert job, "the job goes on when its watcher detaches"
    until(lambda: starts(run, "held") == 2, LIMIT_S)
    cluster.ask("scontrol", "requeue", job)
    cluster.free(job)
    Path(run.parent, "go").touch()
    until(lambda: ended(run) == 1, LIMIT_S)
    contents = read_contents(run)
    assert contents.damaged == ()
    restarts = [one.origin.restart for one in contents.events if one.what == STARTED]
    assert restarts[-1] == 1
    assert sorted(entry.record.method for entry in measured(contents)) == ["baseline", "held"]
    shown = session.runpytest_subprocess(*HELD, f"--energy-run={run}", timeout=LIMIT_S)
    shown.assert_outcomes(passed=2)
    until(lambda: cluster.ask("squeue", "-h") == "")
    assert not lives(pid_on(cluster, "n1"))


def test_two_tasks_of_one_block_at_once_measure_a_cell_twice_and_count_it_once(
    session: pytest.Pytester, run: Path, cluster: Slurm
) -> None:
    submit(run, *HELD)
    until(lambda: starts(run, "held") == 1, LIMIT_S)
    node = read_contents(run).events[0].origin.node
    other = "n2" if node == "n1" else "n1"
    words = f"{sys.executable} -m energybench run-block {run} 0"
    options = (f"--nodelist={other}", f"--chdir={run.parent}", f"--output={run}/log/other.log")
    assert cluster.ask("sbatch", *options, f"--wrap={words}")
    until(lambda: starts(run, "held") == 2, LIMIT_S)
    Path(run.parent, "go").touch()
    until(lambda: cluster.ask("squeue", "-h") == "", LIMIT_S)
    contents = read_contents(run)
    assert contents.damaged == ()
    held = [entry for entry in contents.entries if entry.record.method == "held"]
    by_id: dict[str | None, Entry] = {}
    for entry in held:  # later ones of a measurement compare it with the baseline
        by_id.setdefault(entry.record.id, entry)
    first, second = by_id.values()
    assert {one.origin.node for one in (first, second) if one.origin} == {"n1", "n2"}
    (counted,) = (one for one in contents.counted.values() if one.record.method == "held")
    assert counted.record.id == first.record.id, "the first that ended"
    shown = session.runpytest_subprocess(*HELD, f"--energy-run={run}", timeout=LIMIT_S)
    shown.assert_outcomes(passed=2)


def test_the_death_of_the_controller_and_of_a_node_costs_nothing(run: Path, cluster: Slurm) -> None:
    """The controller dies after the submission, and again while the cell runs; then the node."""
    method = "held-later"
    cells = (*QUICK, f"--energy-methods=baseline,{method}", "--energy-checkpoint")
    submit(run, *cells)
    cluster.kill("slurmctld")
    assert "Slurm cannot be asked from here" in status(run)
    cluster.start_controller()
    until(lambda: cluster.ask("sinfo", "-hN") != "")
    cluster.ask("scancel", "--user=root")  # it may remember jobs that have ended meanwhile
    until(lambda: cluster.ask("squeue", "-h") == "")
    submit(run, *cells)  # a controller that is killed forgets what it has just accepted
    until(lambda: starts(run, method) == 1, LIMIT_S)
    job = cluster.ask("squeue", "-hr", "-o", "%A")
    cluster.kill("slurmctld")
    cluster.start_controller()  # what its disk does not have it ends, and starts again
    until(lambda: "unk" not in cluster.ask("sinfo", "-hN"))
    cluster.until_runs(job)
    checkpoints = RunFolder(run).checkpoints
    until(lambda: any(checkpoints.glob("*.pt")), LIMIT_S)
    node = cluster.ask("squeue", "-hr", "-o", "%N")
    until(lambda: lives(pid_on(cluster, node)), LIMIT_S)
    began = starts(run, method)
    cluster.lose(node, pid_on(cluster, node))
    cluster.free(job)
    until(lambda: starts(run, method) > began, LIMIT_S)
    Path(run.parent, "go").touch()
    until(lambda: ended(run) == 1, LIMIT_S)
    cluster.start_node(node)
    cluster.ask("scontrol", "update", f"nodename={node}", "state=resume")
    contents = read_contents(run)
    assert sorted(entry.record.method for entry in measured(contents)) == ["baseline", method]
    assert {event.origin.node for event in contents.events} == {"n1", "n2"}
    (record,) = (entry.record for entry in measured(contents) if entry.record.method == method)
    assert "repeated" in record.overhead, "the other node went on within the cell"
    assert [epoch.epoch for epoch in record.epochs] == [1, 2]


def test_a_cell_runs_on_two_nodes_together(run: Path) -> None:
    submit(run, *QUICK, "--energy-methods=baseline", options=("--nodes=2",))
    until(lambda: ended(run) == 1, LIMIT_S)
    (entry,) = measured(read_contents(run))
    placement = entry.record.placement
    assert placement is not None
    assert len(placement.devices) == 2
    assert (entry.record.protocol.world_size, entry.record.status) == (2, "ok")


def test_cancel_ends_the_jobs_and_leaves_no_process(run: Path, cluster: Slurm) -> None:
    submit(run, *HELD)
    until(lambda: starts(run, "held") == 1, LIMIT_S)
    node = read_contents(run).events[0].origin.node
    pid = pid_on(cluster, node)
    code, said = command(run.parent, "cancel", str(run))
    assert (code, said.startswith("ended 1 block")) == (0, True), said
    until(lambda: cluster.ask("squeue", "-h") == "", 60.0)
    assert not lives(pid)
    assert "1 cut short" in status(run)
    assert command(run.parent, "cancel", str(run))[1].startswith("ended 0 blocks")


def test_a_node_that_cannot_run_a_block_is_named(
    session: pytest.Pytester, run: Path, cluster: Slurm
) -> None:
    trace = Path(session.path, "trace.json")
    trace.write_text('{"watts": {"cpu:0": 50.0}}')
    arguments = (*QUICK, f"--energy-replay={trace}", "--energy-methods=baseline")
    other = Path(session.path, "other")
    hidden = Path(session.path, "hidden", "run")
    views = {  # a run's folder -> what the node cannot see or write, what is told
        run: (f"mount --bind /dev/null {trace}", f"refused: --energy-replay: {trace} is not"),
        hidden: (f"mount -t tmpfs none {hidden.parent}", f"n2 cannot see {hidden}"),
        other: (f"mount --bind -o ro {other} {other}", f"n2 cannot see {other}, or may not write"),
    }
    for folder, (mounted, told) in views.items():
        folder.mkdir(parents=True)
        cluster.kill("slurmd-n2")
        cluster.start_node("n2", "unshare", "-m", "sh", "-c", f'{mounted} && exec "$@"', "sh")
        cluster.until_idle()
        submit(folder, *arguments, options=("--kinds=a100",), start=session.path)
        until(lambda: cluster.ask("squeue", "-h") == "", LIMIT_S)
        lines = status(folder)
        assert told in lines
        assert "n2" in lines
        assert not measured(read_contents(folder))
    cluster.kill("slurmd-n2")
    cluster.start_node("n2")
    cluster.until_idle()


def test_what_cannot_be_submitted_is_one_line(run: Path, cluster: Slurm) -> None:
    def refused(*words: str) -> str:
        code, output = command(run.parent, "submit", f"--run={run}", *words, timeout=30.0)
        assert code == 2, output
        (line,) = output.splitlines()
        return line

    assert "no node has the feature 'h200'; they have a100, h100" in refused(
        "--kinds=h200", "--", *QUICK
    )
    assert "Slurm refuses (sbatch): " in refused("--slurm=partition=none", "--", *QUICK)
    assert "constraint is set by energybench; use --kinds" in refused(
        "--slurm=constraint=h100", "--", *QUICK
    )
    assert "known: " in refused("--", *QUICK, "--energy-precision=fp8")
    assert "finds no cell" in refused("--", *QUICK, "-k", "nothing")
    assert "--energy-journal: leave it out" in refused("--", *QUICK, "--energy-journal=j.jsonl")
    plug = "--energy-wall-meter=shelly:plug.local"
    assert "--energy-wall-meter is on one machine" in refused("--", *QUICK, plug)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        assert "there is no sinfo on this machine" in refused("--", *QUICK)
