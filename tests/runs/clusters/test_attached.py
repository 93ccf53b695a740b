import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.journals import BENCHMARK
from support.plans import AT, NODE, event, plan
from support.saved_runs import cell

from energybench.config import Cell, RunConfig
from energybench.errors import CellError
from energybench.records.event import ENDED, REFUSED, SKIPPED
from energybench.records.journal import Entry, Event, Journal
from energybench.records.record import RunRecord
from energybench.runs.clusters import attached
from energybench.runs.clusters.attached import Attached
from energybench.runs.clusters.plan import RunFolder
from energybench.runs.clusters.queue import Queued
from energybench.runs.clusters.states import Watch


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "run")
    found.write(plan())
    return found


def record(method: str, seed: int = 0, joules: float = 600.0, **changes: Any) -> RunRecord:
    return replace(cell(method, seed=seed, joules=joules), model="tiny", **changes)


def add(folder: RunFolder, *lines: RunRecord | Event, seed: int = 0) -> None:
    task = plan().tasks[seed]
    for number, line in enumerate(lines):
        entry: Entry | Event
        if isinstance(line, Event):
            entry = line
        else:
            key = f"{line.method}-{number}-{line.seed}"
            entry = Entry(key, line, BENCHMARK, AT, origin=NODE)
        Journal(folder.journal(task)).append(entry)


def shown(folder: RunFolder) -> Attached:
    return Attached(folder, plan(), None, RunConfig())


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[int, Queued]:
    """Slurm's queue: empty, so that no wait begins."""
    queue: dict[int, Queued] = {}
    monkeypatch.setattr(attached, "queued", lambda plan: queue)
    return queue


def test_results_are_played_back(folder: RunFolder) -> None:
    add(folder, record("baseline"), record("stego", reference_value=0.9))
    result = shown(folder).result(Cell("tiny", "stego"))
    assert result.record == record("stego", reference_value=0.9)
    assert result.outcome.seconds == 2.5
    assert result.entry is not None
    assert not result.waits


def test_the_first_result_of_a_cell_counts_whatever_its_machine(folder: RunFolder) -> None:
    first, second = record("baseline", joules=500.0), record("baseline", joules=700.0)
    failed = record("baseline", status="failed", error="no memory")
    add(folder, failed, first, second)
    assert shown(folder).result(Cell("tiny", "baseline")).record == first


def test_a_cell_of_another_tolerance_or_budget_is_another_cell(folder: RunFolder) -> None:
    add(folder, record("stego", reference_value=0.9), event(ENDED))
    run = shown(folder)
    assert run.result(Cell("tiny", "stego"), tolerance=1.0).record.method == "stego"
    for asked in ({"tolerance": 2.0}, {"budget": "equal"}):
        with pytest.raises(CellError, match="tiny-stego-seed0 is missing"):
            run.result(Cell("tiny", "stego"), **asked)


def test_a_cell_that_waits_for_its_baseline_is_waited_for(
    folder: RunFolder, queue: dict[int, Queued], monkeypatch: pytest.MonkeyPatch
) -> None:
    early = record("stego", reference_value=None)
    add(folder, early)
    queue[0] = Queued("12_0", "RUNNING", "n1", "None")
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        Journal(folder.journal(plan().tasks[0])).append(
            Entry("stego-0-0", replace(early, reference_value=0.9), BENCHMARK, AT, origin=NODE)
        )

    monkeypatch.setattr(time, "sleep", sleep)
    assert shown(folder).result(Cell("tiny", "stego")).record.reference_value == 0.9
    assert len(waits) == 1


def test_a_block_that_is_gone_says_why(folder: RunFolder) -> None:
    with pytest.raises(CellError, match="is missing: its block is not queued"):
        shown(folder).result(Cell("tiny", "stego"))
    add(folder, event(REFUSED, reason="no meter reads any energy"))
    with pytest.raises(CellError, match=r"n1 \(job 12_0\) refused: no meter reads any energy"):
        shown(folder).result(Cell("tiny", "stego"))
    with pytest.raises(CellError, match="the plan has no tiny-stego-seed7"):
        shown(folder).result(Cell("tiny", "stego", 7))


def test_what_a_machine_cannot_run_is_skipped_with_its_reason(folder: RunFolder) -> None:
    add(folder, event(SKIPPED, Cell("tiny", "stego"), reason="no bf16 here"), record("baseline"))
    assert shown(folder).why_not(Cell("tiny", "stego")) == "no bf16 here"
    assert shown(folder).why_not(Cell("tiny", "baseline")) is None


def test_a_damaged_line_is_told_and_costs_that_line_only(folder: RunFolder) -> None:
    add(folder, record("baseline"))
    path = folder.journal(plan().tasks[0])
    path.write_bytes(path.read_bytes() + b"torn\n")
    run = shown(folder)
    assert run.result(Cell("tiny", "baseline")).record.method == "baseline"
    (line,) = run.keeper.complaints()
    assert line == f"{path}, line 2: not a whole entry"


def test_the_time_to_go_is_that_of_the_cells_before(folder: RunFolder) -> None:
    start = event(cell=Cell("tiny", "stego"))
    add(folder, start, record("stego"))
    standing = Watch(folder).look(plan().tasks[0])
    from datetime import datetime

    later = datetime.fromisoformat("2026-01-01T00:10:00+00:00")
    assert standing.left_s(later) == pytest.approx(600.0)
    assert standing.origin == NODE
    assert not standing.has_ended
