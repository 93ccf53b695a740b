"""Jobs and outcomes are plain values: through JSON and back they are the same."""

import json
from typing import Any

import pytest
from support.saved_runs import cell

from energybench.config import Cell, DataConfig, FinetuneConfig, MeasureConfig, RunConfig
from energybench.errors import UsageError
from energybench.records.forecast import Forecast, MemoryUse, Range
from energybench.runs.jobs import Job, Outcome, Reference, job_from_json, outcome_from_json

CONFIG = RunConfig(
    dataset="folder:/photographs",
    data=DataConfig(bad_images="skip"),
    tolerance=0.5,
    finetune=FinetuneConfig(max_epochs=7, batch_size=32, budget="equal"),
    measure=MeasureConfig(meters=("nvml", "rapl"), pue=1.2, country="FRA"),
)
METHOD = Job(
    Cell("resnet18", "lowrank+stego", 3),
    CONFIG,
    "0a1b2c3d4e5f6071",
    Reference(cell("baseline", seed=3), "journal"),
    checkpoints="/runs/checkpoints",
    resume=True,
    forecast=Forecast(
        Range(1.0, 2.0, 1.5),
        40.0,
        Range(4, 50),
        "the protocol",
        3.0,
        35,
        [MemoryUse(1, 2, 3, 4, 10)],
        ["a note"],
        "rapl",
    ),
)
BASELINE = Job(Cell("resnet18", "baseline"), RunConfig(), "00")


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


@pytest.mark.parametrize("job", [METHOD, BASELINE], ids=["method", "baseline"])
def test_a_job_is_the_same_after_json(job: Job) -> None:
    assert job_from_json(through_json(job.to_json())) == job


def test_an_outcome_is_the_same_after_json() -> None:
    outcome = Outcome(cell("prune"), 12.5, broken=True, complaints=("a disk is full",))
    assert outcome_from_json(through_json(outcome.to_json())) == outcome


@pytest.mark.parametrize("change", [{"cell": None}, {"key": 5}, {"schema_version": 2}])
def test_a_job_of_another_shape_or_a_newer_version_is_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        job_from_json(through_json(METHOD.to_json()) | change)
    assert "\n" not in str(caught.value)
