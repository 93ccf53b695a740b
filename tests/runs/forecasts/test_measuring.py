"""A few measured steps of a cell: their time, memory and power, and what they leave out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.tiny_cells import Failing, tiny_run, tiny_session
from torch import nn

from energybench.compression.base import Baseline, Score
from energybench.config import Cell, RunConfig
from energybench.errors import CellError, UsageError
from energybench.records.record import CompressionReport, RunRecord
from energybench.runs.executors.in_process import InProcess
from energybench.runs.forecasts import making, measuring
from energybench.runs.forecasts.cost import Cost, Effort
from energybench.runs.forecasts.making import Planner
from energybench.runs.jobs import Job
from energybench.runs.session import Session

CELL = Cell("resnet18", "baseline")
QUICK = Effort(seconds=0.05, search_s=30.0)
PARAMETERS = 4 * (3 * 8 * 8 * 10 + 10)
"""Bytes of the tiny network."""


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path) as found:
        yield found


def cost(session: Session, cell: Cell = CELL, effort: Effort = QUICK) -> Cost:
    found = InProcess(session).cost(Job(cell, session.config, ""), effort)
    assert found.error is None
    assert found.cost is not None
    return found.cost


def test_an_epoch_takes_what_its_steps_and_its_validation_take(session: Session) -> None:
    found = cost(session)
    assert len(found.rounds) >= measuring.ROUNDS
    assert all(seconds > 0 for seconds in found.rounds)
    assert found.steps >= len(found.rounds)
    assert found.watts is not None
    assert found.energy_source == "replay"
    assert found.outside_s > 0


def test_memory_has_parameters_gradients_momentum_and_the_peak(session: Session) -> None:
    (use,) = cost(session).memory
    assert use.parameters == use.gradients == use.momentum == PARAMETERS
    assert use.peak > use.activations >= 0


def test_epochs_follow_each_other_and_a_rank_without_a_batch_does_not_wait_for_one() -> None:
    endless = measuring._endless([1, 2, 3])
    assert [next(endless) for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]
    assert list(measuring._endless([])) == []


class Searching(Baseline):
    """Judges the network as often as it may."""

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        while True:
            score(model)


def test_a_long_search_is_cut_short_and_said(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {"search": Searching(), "baseline": Baseline()}
    monkeypatch.setattr(measuring, "build", lambda name: made[name])
    found = cost(session, Cell("resnet18", "search"), Effort(seconds=0.05, search_s=0.1))
    (note,) = [note for note in found.notes if "search" in note]
    assert "takes over 0.1 s and was cut short" in note
    assert "uncompressed" in note


def test_a_cell_that_fails_is_a_reason_and_stops_no_other(session: Session) -> None:
    Failing.error = CellError("the loss is not finite")
    executor = InProcess(session)
    broken = executor.cost(Job(Cell("resnet18", "stego"), session.config, ""), QUICK)
    assert (broken.cost, broken.error) == (None, "the loss is not finite")
    assert executor.cost(Job(CELL, session.config, ""), QUICK).cost is not None


def test_a_plan_measures_each_kind_once_and_its_record_keeps_the_forecast(
    session: Session,
) -> None:
    said: list[str] = []
    executor = InProcess(session)
    planner = Planner(session.config, executor, QUICK, said.append)
    cells = [(Cell("resnet18", "baseline", seed), None) for seed in range(3)]
    plan = planner.forecast(cells, ["-k", "x"])
    assert said == ["measuring resnet18 baseline (1 of 1)"]
    assert len({one.key for one in plan.cells}) == 3
    run = tiny_run(session)
    run._forecasts = plan.by_key()
    record: RunRecord = run.result(CELL).record
    assert record.forecast == plan.cells[0].forecast
    assert record.forecast is not None
    assert record.forecast.epochs_from == "the protocol"
    assert run.forecast(CELL) == record.forecast
    other = replace(session, config=replace(session.config, tolerance=7.0))
    assert tiny_run(other).forecast(CELL) is None


def test_an_arithmetic_that_the_device_lacks_is_a_reason(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "required_precision", lambda compression: "tf32")
    executor = InProcess(session)
    executor.facts = replace(executor.facts, lacking={"tf32": "tf32 needs an NVIDIA GPU"})
    planner = Planner(session.config, executor, QUICK, lambda line: None)
    plan = planner.forecast([(CELL, None)], [])
    assert plan.cells[0].error == "tf32 needs an NVIDIA GPU"
    assert plan.known == []


def test_an_executor_that_cannot_measure_steps_cannot_plan() -> None:
    class Elsewhere:
        pass

    with pytest.raises(UsageError, match="leave out --energy-executor"):
        Planner(RunConfig(), Elsewhere(), QUICK, lambda line: None)  # type: ignore[arg-type]
