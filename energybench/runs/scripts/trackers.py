"""The energy of a run as flat keys in MLflow and Weights & Biases, where these have an active run.

Neither is imported: a script that tracks itself has done so. MLflow's keys may hold letters,
digits, "_", "-", ".", " ", ":" and "/" (`mlflow.utils.validation`).
"""

import logging
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from energybench.energy.readings import EnergyReading
from energybench.records.record import RunRecord

log = logging.getLogger(__name__)

SOURCE = "energy/source"
"""The key of the text that says how the energy was read."""


def flat_keys(record: RunRecord) -> dict[str, float]:
    """Name -> number: `energy/joules`, `energy/kwh`, and `energy/PHASE/joules` of each phase.

    What is not known is left out.
    """
    known = ((name, value) for name, value in _keys(record) if value is not None)
    return {name: value for name, value in known if math.isfinite(value)}


def _keys(record: RunRecord) -> Iterator[tuple[str, float | None]]:
    for phase, reading in record.phases.items():
        place = "energy" if phase == record.main_phase else f"energy/{_plain(phase)}"
        yield from _of(place, reading)
    yield "energy/kwh", record.kwh


def _of(place: str, reading: EnergyReading) -> Iterator[tuple[str, float | None]]:
    yield f"{place}/joules", reading.it_joules
    yield f"{place}/seconds", reading.duration_s
    yield f"{place}/watts", reading.watts


def _plain(phase: str) -> str:
    return re.sub(r"[^\w./ :-]", "_", phase, flags=re.ASCII)


class Trackers:
    """The runs of MLflow and Weights & Biases that were active while a script ran."""

    def __init__(self) -> None:
        self._mlflow_run: str | None = None
        self._wandb_run: Any = None

    def look(self) -> None:
        """Note the active runs; one that ends before the script does still gets its energy."""
        with suppress(Exception):  # of a module that is half imported, or of another kind
            active = sys.modules["mlflow"].active_run()
            if active is not None:
                self._mlflow_run = active.info.run_id
        with suppress(Exception):
            self._wandb_run = sys.modules["wandb"].run or self._wandb_run

    def log(self, record: RunRecord) -> None:
        """Log the flat keys of `record`; a tracker that fails costs a line in the log."""
        keys, source = flat_keys(record), record.energy_source
        for name, write in (("MLflow", self._to_mlflow), ("Weights & Biases", self._to_wandb)):
            try:
                write(keys, source)
            except Exception as error:
                told = " ".join(f"{type(error).__name__}: {error}".split())
                log.warning("%s: its energy is not in %s: %s", record.model, name, told)

    def _to_mlflow(self, keys: dict[str, float], source: str) -> None:
        if self._mlflow_run is None:
            return
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in keys.items()]
        client = sys.modules["mlflow"].MlflowClient()
        client.log_batch(self._mlflow_run, metrics=metrics, tags=[RunTag(SOURCE, source)])

    def _to_wandb(self, keys: dict[str, float], source: str) -> None:
        if self._wandb_run is not None:
            self._wandb_run.summary.update({**keys, SOURCE: source})
