"""Disturbed cells run again, and all attempts are kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.replay import FIFTY_JOULES
from support.saved_runs import cell
from support.tiny_cells import MemoryJournal, run_cell, tiny_run, tiny_session

from energybench.config import Cell, MeasureConfig
from energybench.energy.cpu_use import CpuWatch
from energybench.energy.meters.replay import ReplayMeter
from energybench.energy.neighbours import Busyness
from energybench.energy.readings import CpuUse
from energybench.energy.windows import MeterSet
from energybench.records.flat_keys import flat_keys
from energybench.runs import attempts
from energybench.runs.attempts import Attempts
from energybench.runs.jobs import Outcome
from energybench.runs.session import Session


def ran(retry: int, *outcomes: Outcome) -> tuple[Outcome, int, list[str]]:
    """The outcome that counts, the number of attempts, and what was said."""
    said, left = list[str](), iter(outcomes)
    found = Attempts(MeasureConfig(retry=retry), said.append).run(lambda: next(left))
    return found, len(outcomes) - len(list(left)), said


def outcome(*flags: str, joules: float = 1000.0, status: str = "ok") -> Outcome:
    return Outcome(cell(joules=joules, changes={"flags": [*flags], "status": status}), 10.0)


def test_a_disturbed_cell_runs_again_until_it_is_not_and_keeps_all_attempts() -> None:
    disturbed = outcome("contaminated", "data_bound", joules=1900.0), outcome("uneven")
    found, attempts, said = ran(5, *disturbed, outcome("data_bound"), outcome())
    assert attempts == 3
    assert found.record.flags == ["data_bound"]
    first, second = found.record.attempts
    assert (first.flags, first.epochs) == (["contaminated"], 4)
    assert first.finetune is not None
    assert first.finetune.it_joules == 1900.0
    assert second.flags == ["uneven"]
    assert said == [
        "resnet18 baseline seed 0 was contaminated: running it again",
        "resnet18 baseline seed 0 was uneven: running it again",
    ]


def test_it_runs_again_only_as_often_as_asked_and_the_last_attempt_counts() -> None:
    many = [outcome("contaminated", joules=float(joules)) for joules in range(1, 9)]
    found, attempts, _ = ran(2, *many)
    assert attempts == 3
    assert found.record.phases["finetune"].it_joules == 3.0
    assert ran(0, *many)[1:] == (1, [])


def test_a_cell_that_failed_or_was_interrupted_does_not_run_again() -> None:
    assert ran(3, outcome("contaminated", status="failed"), outcome())[1] == 1
    stopped = replace(outcome("contaminated"), interruption=KeyboardInterrupt())
    assert ran(3, stopped, outcome())[1] == 1


def test_only_the_leader_waits_for_a_quiet_machine_and_all_ranks_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = Busyness(CpuUse(0.0, 1.0, 0.0, 1.0), [], contaminated=True)
    monkeypatch.setattr(attempts, "observe", lambda watch, busy_share: busy)
    measure, said, agreed = MeasureConfig(quiet_s=0.01), list[str](), list[object]()
    for leads in (True, False):
        Attempts(measure, said.append, agreed.append, leads).run(outcome)
    assert said[0].startswith("waiting for a quiet machine, at most 0.0 s: others used 100 %")
    assert said[-1].startswith("the machine was not quiet within 0.0 s: others used 100 %")
    assert agreed == [False, True]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path) as found:
        yield found


class Busy(CpuWatch):
    """A machine on which others use everything, in the first `windows` windows."""

    def __init__(self, windows: int) -> None:
        super().__init__()
        self._left = windows

    def since(self, start: object) -> CpuUse:
        self._left -= 1
        others_s = 1e6 if self._left >= 0 else 0.0  # beyond any doubt, however short the window
        return CpuUse(1.5, 1.5 + others_s, 0.0, 100.0)


def test_a_run_repeats_its_disturbed_cells_and_the_record_says_so(session: Session) -> None:
    watch = Busy(4)  # while it loads, compresses, and trains an epoch; not in most of fine-tuning
    meters = MeterSet({"replay": ReplayMeter(FIFTY_JOULES)}, cpu=watch)
    config = replace(session.config, measure=replace(session.config.measure, retry=2))
    journal = MemoryJournal()
    session = replace(session, config=config, meters=meters)
    record = run_cell(Cell("resnet18", "baseline"), session, tiny_run(session, journal))
    (attempt,) = record.attempts
    assert attempt.flags == ["contaminated"]
    assert attempt.finetune is not None
    assert attempt.finetune.flags == []  # one disturbed epoch is enough
    assert "contaminated" not in record.flags
    assert journal.records == [record]
    (epoch,) = record.epochs
    assert epoch.flags == []
    assert epoch.cpu == record.phases["finetune"].cpu == CpuUse(1.5, 1.5, 0.0, 100.0)
    assert flat_keys(record)["cpu_s"] == 1.5
