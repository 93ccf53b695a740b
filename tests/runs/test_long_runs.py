"""Many cells in one process, and a machine that misbehaves under them."""

import gc
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from support.replay import FIFTY_JOULES
from support.tiny_cells import run_cell, tiny_run, tiny_session

from energybench.config import Cell
from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.replay import ReplayMeter
from energybench.energy.windows import MeterSet
from energybench.records.journal import Journal
from energybench.runs.session import Session


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path) as found:
        yield found


def test_two_hundred_cells_leave_nothing_behind(session: Session, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    config = replace(session.config, vary="order")  # one pretraining for all
    run = tiny_run(replace(session, config=config), journal)
    process = psutil.Process()
    seen: dict[int, tuple[int, int, int]] = {}
    for number in range(1, 201):
        run_cell(Cell("resnet18", "baseline", number), run=run)
        run.references._known.clear()  # a run keeps its baselines; here only the rest counts
        if number in (20, 200):
            gc.collect()
            seen[number] = (
                process.memory_info().rss,
                process.num_fds(),
                threading.active_count(),
            )
    early, late = seen[20], seen[200]
    assert late[0] <= 1.05 * early[0]
    assert late[1:] == early[1:]
    assert len(journal.read().entries) == 200


class Mortal(ReplayMeter):
    """Dies in the middle of fine-tuning."""

    def read_joules(self) -> dict[str, float]:
        if self._reads >= 8:
            raise MeterUnavailable("the sensor has gone away")
        return super().read_joules()


def test_a_meter_that_dies_costs_the_energy_and_not_the_cell(session: Session) -> None:
    session = replace(session, meters=MeterSet({"replay": Mortal(FIFTY_JOULES)}))
    record = run_cell(Cell("resnet18", "baseline"), session)
    assert record.status == "ok"
    assert record.test is not None
    assert record.kwh is None
    reasons: Mapping[str, str] = record.phases["finetune"].unavailable
    assert "the sensor has gone away" in reasons.values()


def test_a_clock_that_jumps_changes_no_duration(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter(range(0, 10**9, 3600))
    monkeypatch.setattr(time, "time", lambda: 1e9 - next(jumps))  # an hour back at every look
    record = run_cell(Cell("resnet18", "baseline"), session)
    assert record.status == "ok"
    assert 0.0 < record.phases["finetune"].duration_s < 60.0
    assert all(0.0 < epoch.duration_s < 60.0 for epoch in record.epochs)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_is_read_only(session: Session, tmp_path: Path) -> None:
    run_cell(Cell("resnet18", "baseline"), session)  # pretrains
    for folder, _, _ in os.walk(tmp_path):
        os.chmod(folder, 0o500)
    assert run_cell(Cell("resnet18", "baseline", 1), session).status == "ok"
