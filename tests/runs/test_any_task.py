"""Tasks other than images through a whole run: every method, the studies, the journal, the report.

The second task predicts next tokens with tied embeddings; the third is a regression whose metric is
lower-is-better.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.replay import FIFTY_JOULES
from support.task_data import TaskData
from support.tasks import TASKS
from support.tiny_cells import run_cell, tiny_run

from energybench.app.cli import main
from energybench.config import Cell, FinetuneConfig, MeasureConfig, RunConfig
from energybench.energy.machine import describe_machine
from energybench.energy.meters.replay import ReplayMeter
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.records.journal import Journal
from energybench.records.record import RunRecord, from_json
from energybench.records.saved import read_runs
from energybench.records.verdict import failure_text
from energybench.registry import METHODS
from energybench.runs.session import Session
from energybench.runs.studies.inference import inference_points
from energybench.runs.studies.steps import prepare

CPU = torch.device("cpu")
SESSIONS = {"next-token": 5.0, "regression": 0.2}
"""Task -> tolerance in the unit of its metric."""
SUPPORTED = [name for name in METHODS.builtin_names() if name not in ("baseline-tf32", "freeze-bn")]


@pytest.fixture(params=sorted(TASKS))
def session(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Session]:
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path / "cache"))
    data = TaskData(request.param, TASKS[request.param])
    config = RunConfig(
        tolerance=SESSIONS[request.param],
        finetune=FinetuneConfig(max_epochs=2, batch_size=32),
        measure=MeasureConfig(idle_s=0),
    )
    meters = MeterSet({"replay": ReplayMeter(FIFTY_JOULES)})
    machine, sources = describe_machine(), meters.source_names
    yield Session(config, data, CPU, meters, machine, Progress(None), sources=sources, source=data)
    meters.close()


@pytest.fixture
def metric_name(session: Session) -> str:
    return session.task("tiny").metric.name


@pytest.mark.parametrize("method", SUPPORTED)
def test_every_method_runs_on_every_task(session: Session, method: str) -> None:
    record = run_cell(Cell("tiny", method), session)
    metric = session.task("tiny").metric
    assert (record.status, record.error) == ("ok", None)
    assert record.test is not None
    assert record.test.metric == metric
    assert record.reference_value is not None
    assert math.isfinite(record.test.value)
    assert record.drop == pytest.approx(metric.drop(record.reference_value, record.test.value))
    assert record.dataset.item == session.task("tiny").item
    assert len(record.epochs) == 2
    assert all(epoch.items > 0 for epoch in record.epochs)
    assert from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_worse_model_fails_by_the_tasks_own_metric(session: Session) -> None:
    strict = replace(session, config=replace(session.config, tolerance=0.0))
    record = run_cell(Cell("tiny", "baseline"), strict)
    assert record.test is not None
    metric, value = record.test.metric, record.test.value
    sign = 1 if metric.higher_is_better else -1
    better, worse = value + 0.1 * sign, value - 0.1 * sign
    changed = replace(record, method="prune", reference_value=value)
    text = failure_text(replace(changed, test=replace(record.test, value=worse)))
    assert text is not None
    assert metric.name in text
    assert failure_text(replace(changed, test=replace(record.test, value=better))) is None


def test_a_resumed_run_takes_the_cells_out_of_the_journal(session: Session, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    first = run_cell(Cell("tiny", "prune"), run=tiny_run(session, journal))
    run = tiny_run(session, journal, resume=True)
    again = run.result(Cell("tiny", "prune"))
    assert again.entry is not None
    assert again.record == first
    assert run.unclaimed == []


def test_the_largest_batch_is_found_on_synthetic_batches(session: Session) -> None:
    asked = replace(session, config=replace(session.config, largest_batch=True))
    run = tiny_run(asked)
    run.prepare(["tiny"])
    assert 2 <= run.batch_sizes["tiny"] <= session.data.split_sizes["train"]


@pytest.mark.parametrize("method", ["baseline", "prune", "lowrank+stego"])
def test_single_steps_and_answers_are_measured(session: Session, method: str) -> None:
    step = prepare(Cell("tiny", method), session, 8)
    before = [parameter.clone() for parameter in step.model.parameters()]
    assert math.isfinite(step.step().item())
    assert all(map(torch.equal, before, step.model.parameters())), "the learning rate is 0"
    points, found = inference_points(step, session, (1, 4), 0.01)
    assert [point.batch_size for point in points] == [1, 4]
    assert all(one.reading.joules for one in found)


def test_steps_of_a_task_without_images_take_no_image_size(session: Session) -> None:
    with pytest.raises(UsageError, match="has no images, so it takes no image size"):
        prepare(Cell("tiny", "baseline"), session, 8, 32)


@pytest.fixture
def journaled(session: Session, tmp_path: Path) -> tuple[Path, list[RunRecord]]:
    """A journal with two methods, and its records."""
    path = tmp_path / "journal.jsonl"
    run = tiny_run(session, Journal(path))
    return path, [run_cell(Cell("tiny", name), run=run) for name in ("baseline", "prune")]


def test_journal_compare_and_report_name_the_metric(
    journaled: tuple[Path, list[RunRecord]],
    metric_name: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    path, records = journaled
    (run,) = read_runs([str(path)])
    assert list(run.records) == records

    def printed(*command: str) -> str:
        assert main(command) == 0
        return capsys.readouterr().out

    for command in (["journal", str(path)], ["show", str(path)], ["compare", str(path)]):
        assert metric_name in printed(*command)
    assert metric_name in printed("report", str(path), "--markdown")
    page = tmp_path / "report.html"
    printed("report", str(path), "-o", str(page))
    assert metric_name in page.read_text()
