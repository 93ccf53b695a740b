"""The record of a run of a script, without anything that the script does not say of itself."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from energybench.energy.assumptions import Assumptions
from energybench.energy.machine import describe_machine
from energybench.energy.readings import EnergyReading
from energybench.errors import printable
from energybench.records.epoch import ScriptEpoch, with_uneven
from energybench.records.record import (
    Dataset,
    Protocol,
    RunRecord,
    Script,
    Weights,
)
from energybench.records.script import WHOLE
from energybench.runs.scripts.asked import Asked
from energybench.runs.scripts.values import judged

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """How a run ended: `status` and `error` as in `RunRecord`."""

    status: str = "ok"
    error: str | None = None


@dataclass(frozen=True)
class Told:
    """What was measured of a run, and logged by it."""

    phases: dict[str, EnergyReading]
    """The whole run as `script.WHOLE`, and its phases."""
    epochs: Sequence[ScriptEpoch]
    logged: dict[str, float]
    assumptions: Assumptions | None


_STOPPED = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError)


def ending_of(error: BaseException | None) -> Ending:
    """How a block ended that `error` left; None stands for its last line."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return Ending()
    told = ": ".join(filter(None, (type(error).__name__, _line(error))))
    if isinstance(error, KeyboardInterrupt):
        told = _line(error) or "Ctrl-C"
    if isinstance(error, _STOPPED):
        return Ending("interrupted", f"interrupted ({told})")
    return Ending("failed", told)


def _line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()))[:300]


def script_record(asked: Asked, told: Told, ending: Ending) -> RunRecord:
    """The record of a run that `asked` for a name; its numbers stay as they were logged."""
    whole = told.phases[WHOLE]
    machine = describe_machine().to_json()
    value, problem = judged(asked.metric, told.logged)
    if problem is not None:
        log.warning("%s: %s", asked.name, problem)
    epochs = with_uneven(told.epochs, _is_measured(whole))
    flags = [*whole.flags, *(["uneven"] if any("uneven" in one.flags for one in epochs) else [])]
    return RunRecord(
        model=asked.name or "",
        method=asked.method,
        seed=asked.seed,
        dataset=Dataset("", "", task="script", item="item"),
        weights=Weights(""),
        protocol=_protocol(asked.pue, _device_name(machine, whole)),
        machine=machine,
        status=ending.status,
        error=ending.error,
        phases=told.phases,
        flags=list(dict.fromkeys(flags)),
        assumptions=told.assumptions,
        script=Script(
            settings=dict(asked.settings),
            logged=told.logged,
            metric=None if value is None else asked.metric,
            value=value,
            epochs=epochs,
        ),
    )


def _is_measured(reading: EnergyReading) -> bool:
    return bool(reading.sources) and not reading.estimated


def _device_name(machine: dict[str, Any], whole: EnergyReading) -> str:
    """The names of the GPUs that were read; "" without any, as the processor is the machine's."""
    read = {domain.removeprefix("gpu:") for domain in whole.sources}
    names = [str(gpu["name"]) for gpu in machine["gpus"] if gpu["id"] in read]
    return ", ".join(dict.fromkeys(names))


def _protocol(pue: float, device_name: str) -> Protocol:
    """A protocol of which nothing else is known."""
    return Protocol(
        learning_rate=None,
        momentum=None,
        weight_decay=None,
        patience=None,
        min_delta=None,
        max_epochs=None,
        batch_size=None,
        budget=None,
        memory_format=None,
        compile=None,
        tolerance=None,
        pue=pue,
        device=None,
        device_name=device_name,
        precision=None,
        world_size=None,
        ranks_per_node=None,
        vary=None,
        recalibrate_bn=None,
        shard=None,
    )
