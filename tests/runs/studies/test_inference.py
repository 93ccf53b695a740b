"""Answers of a language model: prefill, decoding and both, each in a window of its own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.language import model_folder, text_folder
from support.replay import FIFTY_JOULES
from support.task_data import TaskData
from support.tasks import TASKS

from energybench.config import Cell, DataConfig, FinetuneConfig, MeasureConfig, RunConfig
from energybench.energy.machine import describe_machine
from energybench.energy.meters.replay import ReplayMeter
from energybench.energy.per_call import PerCall
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.records.studies import Generation, read_studies, to_extra_info
from energybench.runs.session import Session
from energybench.runs.studies import inference
from energybench.runs.studies.inference import Lengths, generation, written_answer
from energybench.runs.studies.steps import prepare
from energybench.workloads.language.texts import open_text

CPU = torch.device("cpu")
LENGTHS = Lengths(prompt=12, answer=5)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model and a text."""
    folder = tmp_path_factory.mktemp("language")
    return f"hf:{model_folder(folder / 'model')}", str(text_folder(folder / "text"))


@pytest.fixture
def open_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path / "cache"))
    meters = MeterSet({"replay": ReplayMeter(FIFTY_JOULES)})
    config = RunConfig(
        tolerance=50.0,
        finetune=FinetuneConfig(max_epochs=1, batch_size=8),
        measure=MeasureConfig(idle_s=0),
    )

    def session(data: Any) -> Session:
        machine, sources = describe_machine(), meters.source_names
        return Session(config, data, CPU, meters, machine, Progress(None), sources=sources)

    yield session
    meters.close()


def text_data(location: str) -> Any:
    config = DataConfig(block_length=16)
    return open_text(location).prepare((), CPU, config, Progress(None), print)


@pytest.mark.parametrize(
    "method", ["baseline", "lowrank", "prune-channels", "lora@2+stego", "freeze"]
)
def test_answers_of_a_language_model_are_measured(
    places: tuple[str, str], open_session: Callable[..., Session], method: str
) -> None:
    model, text = places
    session = open_session(text_data(text))
    cell = Cell(model, method)
    found = generation(cell, prepare(cell, session, 4), session, (1, 4), 0.01, LENGTHS)
    assert (found.prompt_length, found.answer_length) == (12, 5)
    assert (found.model, found.method, found.precision) == (model, method, "fp32")
    assert [point.batch_size for point in found.points] == [1, 4]
    for point in found.points:
        assert point.prefill_seconds_per_1000_tokens > 0
        assert point.decode_seconds_per_1000_tokens > 0
        assert point.seconds_per_answer > 0
    assert set(found.sources.values()) == set(session.meters.source_names.values())
    assert read_studies([json.loads(json.dumps(to_extra_info(found)))]) == [found]


def test_each_part_has_a_window_of_its_own_after_a_warm_up(
    places: tuple[str, str],
    open_session: Callable[..., Session],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tokens read per forward pass, in and before each window; joules are those of the window."""
    model, text = places
    session = open_session(text_data(text))
    cell = Cell(model, "baseline")
    prepared = prepare(cell, session, 4)
    read: list[int] = []
    prepared.model.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0].shape[1]))
    windows: list[list[int]] = []

    def measured(call: Callable[[], object], *rest: Any, **kept: Any) -> PerCall:
        windows.append(list(read))
        read.clear()
        with session.meters.window() as window:
            call()
        windows.append(list(read))
        read.clear()
        assert kept["at_least_s"] == 3.0
        reading = window.reading
        joules: dict[str, float | None] = {"cpu:0": 12.0}
        return PerCall(1, type(reading)(2.0, joules, {"cpu:0": "replay"}))

    monkeypatch.setattr(inference, "per_call", measured)
    found = generation(cell, prepared, session, (4,), 3.0, LENGTHS)
    prompt, steps = [12], [1, 1, 1, 1]
    before_prefill, prefill, before_decode, decode, before_whole, whole = windows
    assert prefill == prompt
    assert decode == steps
    assert whole == prompt + steps
    assert before_prefill == prompt + prompt
    assert (before_decode, before_whole) == (steps, prompt + steps)
    (point,) = found.points
    assert point.prefill_joules_per_1000_tokens == pytest.approx(1000 * 12.0 / (4 * 12))
    assert point.decode_joules_per_1000_tokens == pytest.approx(1000 * 12.0 / (4 * 4))
    assert point.joules_per_answer == pytest.approx(12.0 / 4)
    assert point.prefill_seconds_per_1000_tokens == pytest.approx(1000 * 2.0 / (4 * 12))
    assert point.decode_seconds_per_1000_tokens == pytest.approx(1000 * 2.0 / (4 * 4))
    assert point.seconds_per_answer == pytest.approx(2.0 / 4)
    assert found.joules_by_batch == {4: pytest.approx(3.0)}
    assert isinstance(found, Generation)
    assert tuple(written_answer(prepared, 2, CPU, LENGTHS)().shape) == (2, 5)  # type: ignore[attr-defined]


def test_a_task_that_writes_nothing_is_refused(open_session: Callable[..., Session]) -> None:
    session = open_session(TaskData("regression", TASKS["regression"]))
    cell = Cell("tiny", "baseline")
    with pytest.raises(UsageError, match="regression writes no answers; name a language model"):
        generation(cell, prepare(cell, session, 4), session, (1,), 0.01, LENGTHS)
