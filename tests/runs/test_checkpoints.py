"""Cells that are cut short within fine-tuning, and go on."""

import gc
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_cells import MemoryJournal, run_cell, tiny_session
from support.waiting import wait_until
from torch import nn

from energybench.compression.base import Baseline, Score
from energybench.config import Cell, FinetuneConfig
from energybench.energy.readings import EnergyReading, added
from energybench.energy.windows import MeterSet
from energybench.records.flat_keys import flat_keys
from energybench.records.keeper import Keeper
from energybench.records.record import CompressionReport, RunRecord, from_json
from energybench.registry import METHODS
from energybench.runs import checkpoints
from energybench.runs.checkpoints import Checkpoint
from energybench.runs.executors.in_process import InProcess
from energybench.runs.run import Run
from energybench.runs.session import Session

CELL = Cell("resnet18", "stego")
STEPS = 7
"""Of an epoch: 450 images in batches of 64."""


class Cut(Baseline):
    """Trains as the baseline does until the step at which somebody ends it."""

    at: int | None = None
    steps = 0
    settings: dict[str, float | int | str] = {}  # noqa: RUF012

    def __init__(self) -> None:
        self._steps = 0

    def compress(self, model: nn.Module, score: Score, tolerance: float) -> CompressionReport:
        return replace(super().compress(model, score, tolerance), settings=dict(Cut.settings))

    def after_step(self, model: nn.Module) -> None:
        self._steps += 1
        Cut.steps += 1
        if self._steps == Cut.at:
            raise KeyboardInterrupt("SIGTERM")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path / "cache") as found:
        method = {"baseline": Baseline, "stego": Cut}.__getitem__
        monkeypatch.setattr(METHODS, "get", method)
        monkeypatch.setattr(Cut, "at", None)
        monkeypatch.setattr(Cut, "settings", {})
        finetune = FinetuneConfig(max_epochs=5, patience=9, learning_rate=0.05)
        yield replace(found, config=replace(found.config, finetune=finetune))


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


Saving = Callable[..., Run]


@pytest.fixture
def saving(session: Session, folder: Path, complaints: list[str]) -> Saving:
    """Makes a run with checkpoints, which continues an earlier one or not."""

    def of(resume: bool, meters: MeterSet | None = None) -> Run:
        own = replace(session, meters=meters or session.meters)
        keeper = Keeper(MemoryJournal(), resume)
        setattr(keeper, "complain", complaints.append)  # noqa: B010
        return Run(own.config, InProcess(own), keeper, resume, folder)

    return of


def ended(run: Run) -> RunRecord:
    """The record of a cell that ends."""
    return run_cell(CELL, run=run)


def cut(run: Run, at: int) -> RunRecord:
    """The interrupted record of a cell that is ended at step `at` of this run."""
    Cut.at = at
    result = run.result(CELL)
    assert isinstance(result.outcome.interruption, KeyboardInterrupt)
    Cut.at = None
    return result.record


def course(record: RunRecord) -> tuple[Any, ...]:
    """All that does not depend on clocks."""
    assert record.test is not None
    losses = [(epoch.train_loss, epoch.validation_loss) for epoch in record.epochs]
    return losses, record.test.outcomes, record.best_epoch


def test_a_cell_that_was_cut_short_twice_ends_as_if_it_had_not_been(
    session: Session, saving: Saving, folder: Path, complaints: list[str]
) -> None:
    whole = run_cell(CELL, session)
    assert whole.overhead == {}
    cut(saving(False), 2 * STEPS + 3)
    first = list(folder.glob("*.pt"))
    assert len(first) == 1
    interrupted = cut(saving(True), STEPS + 2)
    assert interrupted.start is not None
    assert interrupted.start.test is None, "the test split comes last"
    assert [epoch.epoch for epoch in interrupted.epochs] == [1, 2, 3]
    last = ended(saving(True))
    assert course(last) == course(whole)
    assert last.start == whole.start is not None
    assert set(last.overhead) == {"checkpoint", "lost", "repeated"}
    assert complaints == []
    assert list(folder.iterdir()) == []  # it has ended: nothing is left of it


class Steps:
    """A meter that counts a joule for every training step of `Cut`."""

    min_window_s = 0.0

    def domains(self) -> dict[str, str]:
        return {"cpu:0": "steps"}

    def read_joules(self) -> dict[str, float]:
        return {"cpu:0": float(Cut.steps)}

    def close(self) -> None: ...


def test_energy_is_the_sum_of_what_was_used(saving: Saving) -> None:
    meters = MeterSet({"steps": Steps()})
    cut(saving(False, meters), 2 * STEPS + 3)
    cut(saving(True, meters), STEPS + 2)
    record = ended(saving(True, meters))
    assert [epoch.joules for epoch in record.epochs] == [STEPS] * 5
    assert record.phases["finetune"].joules == {"cpu:0": 5 * STEPS}
    spans = record.spans["finetune"]
    assert [span.joules for span in spans] == [*[STEPS] * 5, 0], (
        "to each checkpoint, and to the end"
    )
    seconds = sum(span.duration_s for span in spans)
    assert seconds == pytest.approx(record.phases["finetune"].duration_s)
    assert record.overhead["lost"].joules == {"cpu:0": 3 + 2}
    assert record.overhead["checkpoint"].joules == {"cpu:0": 0}
    assert record.overhead["repeated"].joules == {"cpu:0": 0}


def test_energy_is_the_sum_also_where_a_save_failed(
    saving: Saving, monkeypatch: pytest.MonkeyPatch, complaints: list[str]
) -> None:
    meters = MeterSet({"steps": Steps()})
    write = Checkpoint._write

    def full(self: Checkpoint, content: dict[str, Any]) -> Path:
        record = json.loads(content["record"])
        if record["method"] == CELL.method and len(record["epochs"]) == 2:
            raise OSError(28, "No space left on device")
        return write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "_write", full)
        cut(saving(False, meters), 2 * STEPS + 3)
    assert len(complaints) == 1
    record = ended(saving(True, meters))
    assert record.phases["finetune"].joules == {"cpu:0": 5 * STEPS}
    assert record.overhead["lost"].joules == {"cpu:0": STEPS + 3}, "the second epoch, too"


def test_a_run_that_does_not_resume_starts_anew(saving: Saving, folder: Path) -> None:
    cut(saving(False), 2 * STEPS + 3)
    record = ended(saving(False))
    assert set(record.overhead) == {"checkpoint"}
    assert list(folder.iterdir()) == []


def test_a_cell_cut_short_in_its_first_epoch_accounts_for_it(
    saving: Saving,
) -> None:
    cut(saving(False), 3)
    record = ended(saving(True))
    assert set(record.overhead) == {"checkpoint", "lost"}
    assert len(record.epochs) == 5


def test_a_killed_cell_has_said_in_time_what_it_used(
    saving: Saving, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `kill -9`: what stands in the folder in the middle of an epoch is all there is."""
    monkeypatch.setattr(checkpoints, "BEAT_S", 0.005)
    left: dict[str, bytes] = {}

    def noted() -> bool:
        (saved,) = folder.glob("*.pt")
        return any(
            json.loads(n.read_text())["after"] == saved.stem[-16:] for n in folder.glob("*.json")
        )

    def copy(self: Cut, model: nn.Module) -> None:
        self._steps += 1
        if self._steps == 2 * STEPS + 5:
            wait_until(noted)
            left.update({path.name: path.read_bytes() for path in folder.glob("[!.]*")})

    monkeypatch.setattr(Cut, "after_step", copy)
    expected = ended(saving(False))
    assert list(folder.iterdir()) == []
    for name, content in left.items():
        (folder / name).write_bytes(content)
    record = ended(saving(True))
    assert course(record) == course(expected)
    assert record.overhead["lost"].duration_s > 0.0


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_checkpoint_is_named_and_not_used(
    saving: Saving, folder: Path, complaints: list[str], damage: str
) -> None:
    cut(saving(False), 2 * STEPS + 3)
    (path,) = folder.glob("*.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content[:-9] if damage == "cut" else content)
    record = ended(saving(True))
    assert record.status == "ok"
    assert [epoch.epoch for epoch in record.epochs] == [1, 2, 3, 4, 5]
    assert complaints == [f"{path} is damaged and not used"]


def test_one_with_code_in_it_executes_nothing(
    saving: Saving, folder: Path, complaints: list[str]
) -> None:
    cut(saving(False), 2 * STEPS + 3)
    (path,) = folder.glob("*.pt")
    target = folder / "executed"
    torch.save({"record": "{}", "course": Code(str(target))}, path)
    honest = folder / path.name.replace(path.stem[-16:], checkpoints._digest_of(path))
    path.rename(honest)
    assert ended(saving(True)).status == "ok"
    assert not target.exists()
    assert complaints == [f"{honest} is not from this energybench; that cell starts anew"]


def test_a_lack_of_memory_does_not_start_the_cell_anew(
    saving: Saving, complaints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(saving(False), 2 * STEPS + 3)

    def no_memory(*args: object, **options: object) -> None:
        raise RuntimeError("unable to mmap 44775880 bytes: Cannot allocate memory (12)")

    run = saving(True)
    monkeypatch.setattr(torch, "load", no_memory)
    assert ended(run).error == "out of memory; lower batch_size"
    assert complaints == []


class Code:
    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self._path,)


def test_what_compresses_otherwise_now_starts_anew(
    saving: Saving, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(saving(False), 2 * STEPS + 3)
    monkeypatch.setattr(Cut, "settings", {"bits": 3})
    record = ended(saving(True))
    assert len(record.epochs) == 5
    assert set(record.overhead) == {"checkpoint", "lost"}
    saved_seconds = record.overhead["lost"].duration_s
    assert saved_seconds > 0.0


def test_a_folder_that_cannot_be_written_costs_the_checkpoint_and_not_the_cell(
    saving: Saving, folder: Path, complaints: list[str]
) -> None:
    folder.write_text("not a folder")
    record = ended(saving(False))
    assert record.status == "ok"
    assert len(record.epochs) == 5
    assert any(line.startswith("no checkpoint of resnet18 stego in") for line in complaints)
    assert all("\n" not in line for line in complaints)


def test_saving_keeps_no_second_model_alive(saving: Saving) -> None:
    def alive() -> list[int]:
        gc.collect()
        return [id(one) for one in gc.get_objects() if type(one) is nn.Linear]

    before = alive()  # other tests'
    cut(saving(False), 2 * STEPS + 3)
    ended(saving(True))
    assert set(alive()) <= set(before)


def test_overhead_is_in_the_record_and_apart(saving: Saving) -> None:
    cut(saving(False), 2 * STEPS + 3)
    record = ended(saving(True))
    again = from_json(json.loads(json.dumps(record.to_json())))
    assert again.overhead == record.overhead
    assert record.kwh_overhead is not None
    assert flat_keys(record)["kwh_overhead"] == record.kwh_overhead > 0.0
    reading = record.phases["finetune"].it_joules
    assert reading is not None
    assert record.kwh == pytest.approx(reading * record.pue / 3.6e6)


def test_readings_of_windows_that_follow_each_other_add_up() -> None:
    one = EnergyReading(
        1.0, {"gpu:0": 5.0, "cpu:0": 1.0}, {"gpu:0": "replay"}, ["short_window"], net_joules={}
    )
    other = EnergyReading(2.0, {"gpu:0": 7.0, "cpu:0": None}, {"cpu:0": "rapl"}, ["throttled"])
    total = added(one, other, other)
    assert total.duration_s == 5.0
    assert total.joules == {"gpu:0": 19.0, "cpu:0": None}
    assert total.it_joules is None  # half of it would look like a saving
    assert total.flags == ["short_window", "throttled"]
    assert total.sources == {"gpu:0": "replay", "cpu:0": "rapl"}
    assert added(one) == one
    assert added(EnergyReading(200.0, {}, {}), one).flags == []  # what is short does not count
