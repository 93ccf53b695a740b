"""A meter that plays back a file: the same joules at every run, for tests and demonstrations."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from energybench.energy.meters.base import MeterContext
from energybench.energy.source import REPLAY, Source
from energybench.errors import UsageError


class ReplayMeter:
    """Plays back a trace: its joules depend only on how often it was read.

    `trace` has two or more cumulative joules per domain, one for each read:
    `{"cpu:0": [0, 50, 100]}`. After its end a list continues with its last increment.
    """

    min_window_s = 0.0

    def __init__(self, trace: Mapping[str, Sequence[float]]) -> None:
        self._trace = {domain: tuple(joules) for domain, joules in trace.items()}
        self._reads = 0

    @classmethod
    def open(cls, context: MeterContext) -> "ReplayMeter":
        """Play the context's trace file; raises `UsageError` if it names none."""
        if context.replay is None:
            raise UsageError("the meter replay plays a trace file; name one as `replay`")
        return cls.from_file(context.replay)

    @classmethod
    def from_file(cls, path: str) -> "ReplayMeter":
        """Play the JSON file at `path`, which has one of these forms:

            {"domains": {"gpu:0": [0, 12.5, 30]}}
            {"watts": {"cpu:0": 50.0}, "seconds_per_read": 1.0}
            {"time_s": [0.5, 1.0], "watts": {"cpu:0": [50.0, 51.5]}}

        The first has cumulative joules per read, the second a constant power. The third is the
        power trace of a record: one of its samples is played per read. Raises `UsageError` for a
        file that cannot be read as such a trace.
        """
        return cls(_load(path))

    def domains(self) -> dict[str, Source]:
        """The trace's domains."""
        return dict.fromkeys(self._trace, REPLAY)

    def read_joules(self) -> dict[str, float]:
        """The trace's next joules."""
        step = self._reads
        self._reads += 1
        return {domain: _at(values, step) for domain, values in self._trace.items()}

    def close(self) -> None:
        """Nothing to release."""


def _at(values: tuple[float, ...], step: int) -> float:
    beyond = step - (len(values) - 1)
    return values[step] if beyond <= 0 else values[-1] + beyond * (values[-1] - values[-2])


def _load(path: str) -> dict[str, tuple[float, ...]]:
    try:
        return _parse(json.loads(Path(path).read_text()))
    except OSError as error:
        raise UsageError(f"cannot read the trace {path}: {error.strerror}") from error
    except ValueError as error:  # not JSON, not text, or not a trace
        raise UsageError(f"{path} is not a trace of the replay meter: {error}") from error


def _parse(data: Any) -> dict[str, tuple[float, ...]]:
    """Two or more cumulative joules per domain; a constant power begins with 0 J."""
    if isinstance(data, dict) and isinstance(data.get("domains"), dict):
        trace = {name: _cumulative(name, values) for name, values in data["domains"].items()}
    elif isinstance(data, dict) and isinstance(data.get("time_s"), list):
        trace = _recorded(data["time_s"], data.get("watts"))
    elif isinstance(data, dict) and isinstance(data.get("watts"), dict):
        seconds = _number("seconds_per_read", data.get("seconds_per_read", 1.0))
        watts = data["watts"]
        trace = {name: (0.0, _number(name, value) * seconds) for name, value in watts.items()}
    else:
        raise ValueError('it has neither "domains" nor "watts"')
    if not trace:
        raise ValueError("it names no domain")
    return trace


def _recorded(time_s: list[Any], watts: Any) -> dict[str, tuple[float, ...]]:
    """Cumulative joules per domain; each mean power holds from the sample before (or 0 s) on."""
    if not isinstance(watts, dict):
        raise ValueError('"time_s" needs "watts" per domain')
    times = [0.0, *(_number("time_s", value) for value in time_s)]
    lengths = [later - earlier for earlier, later in pairwise(times)]
    trace = {}
    for name, values in watts.items():
        if not isinstance(values, list) or len(values) != len(lengths):
            raise ValueError(f"{name} needs {len(lengths)} watts, one per time")
        powers = [_number(name, value) for value in values]
        steps = (power * length for power, length in zip(powers, lengths, strict=True))
        trace[name] = _cumulative(name, [0.0, *accumulate(steps)])
    return trace


def _cumulative(name: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) < 2:
        raise ValueError(f"{name} needs a list of two or more cumulative joules")
    joules = tuple(_number(name, value) for value in values)
    if any(later < earlier for earlier, later in pairwise(joules)):
        raise ValueError(f"{name} decreases; cumulative joules never do")
    return joules


def _number(name: str, value: Any) -> float:
    valid = isinstance(value, int | float) and not isinstance(value, bool)
    if not valid or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} has {value!r} where a number of at least 0 is needed")
    return float(value)
