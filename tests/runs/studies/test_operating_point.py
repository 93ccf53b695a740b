"""A fine-tuning at one batch size, arithmetic and power limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.fake_hardware import A100
from support.tiny_cells import Failing, tiny_session

from energybench.config import Cell
from energybench.energy.power_limit import PowerLimits
from energybench.errors import CellError, UsageError
from energybench.runs.session import Session
from energybench.runs.studies import operating_point as study
from energybench.runs.studies.operating_point import Point, operating_point, why_not

CELL = Cell("resnet18", "baseline")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path) as found:
        yield found


def allowed(session: Session) -> Session:
    return replace(session, config=replace(session.config, allow_power_limit=True))


def test_a_point_has_the_time_the_energy_and_the_metric_of_its_fine_tuning(
    session: Session,
) -> None:
    found = operating_point(CELL, session, Point(32, "fp32"))
    assert (found.batch_size, found.precision, found.power_limit_w) == (32, "fp32", None)
    assert (found.model, found.method, found.epochs) == ("resnet18", "baseline", 1)
    assert found.seconds > 0
    assert found.joules is not None
    assert found.metric.name == "accuracy"
    assert 0 <= found.value <= 1
    assert found.sources == {"cpu:0": "replay"}
    assert session.config.finetune.batch_size == 64


def test_another_batch_size_takes_other_steps(session: Session) -> None:
    batches = {size: operating_point(CELL, session, Point(size, "fp32")) for size in (16, 256)}
    assert batches[16].value != batches[256].value


def test_a_cell_that_fails_says_at_which_point(session: Session) -> None:
    Failing.error = CellError("the loss is not finite")
    with pytest.raises(CellError, match="at batch32-fp32-own failed: the loss is not finite"):
        operating_point(Cell("resnet18", "stego"), session, Point(32, "fp32"))


def test_a_power_limit_is_for_a_gpu_and_only_where_it_is_allowed(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = Point(32, "fp32", "80%")
    assert why_not(limited, session) == "the power limit is that of a GPU"
    with pytest.raises(UsageError, match="is for a GPU, and this session is on a CPU"):
        operating_point(CELL, allowed(session), limited)
    monkeypatch.setattr(study, "gpu_uuid", lambda device: A100)
    with pytest.raises(UsageError, match="needs --energy-allow-power-limit"):
        operating_point(CELL, session, limited)
    on_gpu = replace(session, device=torch.device("cuda", 0))
    assert why_not(limited, on_gpu) == "other power limits need --energy-allow-power-limit"
    assert why_not(limited, allowed(on_gpu)) is None


def test_the_limit_is_there_while_the_cell_runs_and_in_the_record(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[object] = []

    @contextmanager
    def limit(uuid: str, watts: float, say: object) -> Iterator[None]:
        happened.append((uuid, watts))
        yield
        happened.append("restored")

    limits = PowerLimits("NVIDIA A100", 400.0, 400.0, 100.0, 400.0)
    monkeypatch.setattr(study, "gpu_uuid", lambda device: A100)
    monkeypatch.setattr(study, "read_limits", lambda uuid: limits)
    monkeypatch.setattr(study, "power_limit", limit)
    found = operating_point(CELL, allowed(session), Point(32, "fp32", "80%"))
    assert found.power_limit_w == 320.0
    assert happened == [(A100, 320.0), "restored"]
    with pytest.raises(UsageError, match="out of the range"):
        operating_point(CELL, allowed(session), Point(32, "fp32", "50W"))


def test_an_arithmetic_that_the_device_lacks(session: Session) -> None:
    assert "Ampere" in (why_not(Point(32, "tf32"), session) or "")
    with pytest.raises(UsageError, match="Ampere"):
        operating_point(CELL, session, Point(32, "tf32"))
