"""Runs of scripts that the tests measure, with a meter that replays 50 J per reading."""

from pathlib import Path
from typing import Any

import energybench
from energybench.records.epoch import ScriptEpoch
from energybench.records.record import RunRecord
from energybench.records.saved import read_run
from energybench.runs.scripts.measure import Measuring
from support.replay import TRACE

REPLAYED: dict[str, Any] = {"meters": "replay", "replay": TRACE}


def measured(name: str | None = None, **options: Any) -> Measuring:
    return energybench.measure(name, **(REPLAYED | options))


def saved(path: Path, name: str = "net", accuracy: float = 0.9, **options: Any) -> str:
    """A file with one run of two epochs."""
    with measured(name, save=path, **options) as run, run.phase("train"):
        for epoch in (1, 2):
            run.log(epoch=epoch, loss=1.0 / epoch, accuracy=accuracy)
    return str(path)


def epochs_of(record: RunRecord) -> list[ScriptEpoch]:
    assert record.script is not None
    return record.script.epochs


def only(path: Path) -> RunRecord:
    (record,) = read_run(path)
    return record
