"""One run of a script while it measures itself: its phases, its epochs, and what it logs."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from energybench.energy.assumptions import Assumptions
from energybench.energy.measurement import Measurement
from energybench.energy.readings import EnergyReading, added
from energybench.energy.windows import MeterSet, Window
from energybench.errors import UsageError, legible
from energybench.records.epoch import ScriptEpoch
from energybench.records.record import RunRecord
from energybench.records.script import WHOLE
from energybench.runs.scripts.asked import Asked
from energybench.runs.scripts.record import Ending, Told, script_record
from energybench.runs.scripts.values import epoch_of, numbers_of

INTERRUPTED = "interrupted"
"""Flag of a phase that an exception left."""


class Run(Measurement):
    """A block of `energybench.measure`, with its phases, its epochs and what it logs.

    Phases and epochs belong to one thread. Made by `measure`.
    """

    def __init__(
        self, asked: Asked, meters: MeterSet, window: Window, synchronize: Callable[[], None]
    ) -> None:
        super().__init__(window, asked.pue)
        self.name = asked.name
        self._asked = asked
        self._meters = meters
        self._synchronize = synchronize
        self._path = ""
        self._begun: dict[str, None] = {}
        self._phases: dict[str, EnergyReading] = {}
        self._epochs: dict[int, ScriptEpoch] = {}
        self._logged: dict[str, float] = {}
        self._assumptions: Assumptions | None = None
        self._ending: Ending | None = None
        self._lap = ExitStack()
        self._lap_window: Window | None = None

    @property
    def phases(self) -> dict[str, EnergyReading]:
        """Name -> the energy of that phase so far, summed over its visits.

        A phase within another is called after both: "train/batch".
        """
        return {name: self._phases[name] for name in self._begun if name in self._phases}

    @property
    def epochs(self) -> list[ScriptEpoch]:
        """The epochs that were logged, by their numbers."""
        return [self._epochs[number] for number in sorted(self._epochs)]

    @contextmanager
    def phase(self, name: str) -> Iterator[Measurement]:
        """Measure a part of the run; phases may be nested, and visited again.

        Left by an exception, a phase keeps its energy and has the flag `interrupted`. Raises
        `UsageError` after the run has ended, and for the names "" and "run".
        """
        self._require_running(f"phase({name!r})")
        if not isinstance(name, str) or not name.strip() or "/" in name:
            raise UsageError(f"{name!r} is no name of a phase; give a text without a slash")
        if name == WHOLE and not self._path:
            raise UsageError(f"{WHOLE!r} is the whole run; give the phase another name")
        outer, path = self._path, legible(f"{self._path}/{name}" if self._path else name)
        window: Window | None = None
        finished = False
        self._path, self._begun[path] = path, None
        try:
            with self._meters.window(self._synchronize) as window:
                yield Measurement(window, self._pue)
            finished = True
        finally:
            self._path = outer
            if window is not None:
                self._add_phase(path, window.reading, finished)

    def log(self, /, *, epoch: int | None = None, **values: Any) -> None:
        """Keep numbers of the run, and with `epoch=1` those of an epoch and its energy.

        An epoch has the energy since the one before it was logged; the first one that since the run
        began, or since `log(epoch=0)`. What is logged for the same epoch again is added to it.
        Numbers are Python's, NumPy's or tensors of one element. Raises `UsageError` for other
        values, and after the run has ended.
        """
        self._require_running("log()")
        number = None if epoch is None else epoch_of(epoch)
        numbers = numbers_of(values)
        self._logged.update(numbers)
        if number is not None:
            self._end_epoch(number, numbers)

    @cached_property
    def record(self) -> RunRecord:
        """The run as `energybench compare` and `report` read it.

        Raises `UsageError` before the run has ended, and for a run without a name.
        """
        if self._ending is None:
            raise UsageError("the run has not ended; take its record after its block")
        if self.name is None:
            raise UsageError('a run without a name has no record; write measure("NAME")')
        return script_record(self._asked, self._told(), self._ending)

    def prepare_end(self) -> None:
        """Note what can only be asked while the meters are open; for `measure`."""
        self._lap.close()
        self._assumptions = self._meters.assumptions

    def end(self, ending: Ending) -> None:
        """Note how the run ended, once its window is closed; for `measure`."""
        self._ending = ending

    def _told(self) -> Told:
        whole = self.reading
        estimated = whole.estimated
        return Told(
            {WHOLE: whole, **self.phases},
            self.epochs,
            dict(self._logged),
            self._assumptions if estimated else None,
        )

    def _require_running(self, what: str) -> None:
        if self._ending is not None:
            name = "the run" if self.name is None else f"the run {self.name!r}"
            raise UsageError(f"{what}: {name} has ended; call it within the block of measure()")

    def _add_phase(self, path: str, reading: EnergyReading, finished: bool) -> None:
        if not finished:
            reading = replace(reading, flags=[*reading.flags, INTERRUPTED])
        before = self._phases.get(path)
        self._phases[path] = reading if before is None else added(before, reading)

    def _end_epoch(self, number: int, numbers: dict[str, float]) -> None:
        reading = self._end_lap()
        if number > 0:
            before = self._epochs.get(number)
            new = _epoch(number, reading, numbers)
            self._epochs[number] = new if before is None else _joined(before, new)
        self._lap_window = self._lap.enter_context(self._meters.window(self._synchronize))

    def _end_lap(self) -> EnergyReading:
        """The energy since the last epoch was logged, or since the run began."""
        if self._lap_window is None:
            self._synchronize()
            return self.reading
        self._lap.close()
        return self._lap_window.reading


def _epoch(number: int, reading: EnergyReading, numbers: dict[str, float]) -> ScriptEpoch:
    flags = list(reading.flags)
    return ScriptEpoch(number, reading.duration_s, reading.it_joules, numbers, flags, reading.cpu)


def _joined(first: ScriptEpoch, second: ScriptEpoch) -> ScriptEpoch:
    """One epoch that was logged in two parts."""
    joules = (first.joules, second.joules)
    both = first.cpu is not None and second.cpu is not None
    return replace(
        first,
        duration_s=first.duration_s + second.duration_s,
        joules=None if None in joules else math.fsum(one or 0.0 for one in joules),
        flags=list(dict.fromkeys([*first.flags, *second.flags])),
        cpu=first.cpu.plus(second.cpu) if both and first.cpu and second.cpu else None,
        logged=first.logged | second.logged,
    )
