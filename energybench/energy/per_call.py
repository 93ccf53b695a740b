"""Joules per call of a function that is too short to be measured once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

from energybench.energy.readings import EnergyReading
from energybench.energy.windows import MARGIN, MeterSet

LOOK_S = 0.01
"""Seconds between two looks at the clock; one look takes less than a ten-thousandth of that."""


@dataclass(frozen=True)
class PerCall:
    """Energy of many calls, and the mean of one call."""

    calls: int
    reading: EnergyReading
    """The energy of all calls together."""
    between_s: float = 0.0
    """Seconds of the window that lie between the calls. Their energy, at the window's mean power,
    belongs to no call."""
    repeats: tuple[float, ...] = ()
    """Joules per call of each part of the window, if it was divided."""

    @property
    def joules(self) -> dict[str, float | None]:
        """Joules per call and domain; None for one that could not be read."""
        return {
            domain: None if value is None else self._of_one(value)
            for domain, value in self.reading.joules.items()
        }

    @property
    def it_joules(self) -> float | None:
        """Joules per call over all domains; None if any domain, or every one, could not be read."""
        whole = self.reading.it_joules
        return None if whole is None else self._of_one(whole)

    def _of_one(self, joules: float) -> float:
        return joules_of_one(joules, self.reading.duration_s, self.between_s, self.calls)


def joules_of_one(joules: float, duration_s: float, between_s: float, calls: int) -> float:
    """Return the joules of one call out of those of a window, see `PerCall.between_s`."""
    share = max(0.0, 1.0 - between_s / duration_s) if duration_s > 0.0 else 1.0
    return joules * share / calls


def per_call(
    call: Callable[[], object],
    meters: MeterSet,
    synchronize: Callable[[], None] | None = None,
    call_s: float = 0.0,
    at_least_s: float = 0.0,
) -> PerCall:
    """Call `call` again and again within one window that is long enough for all `meters`.

    The window takes `at_least_s` seconds too. `call_s` is a rough duration of one call, seconds; 0
    if it is not known. `synchronize` waits for the device at both ends of the window. Without
    meters and `at_least_s` there is one call.
    """
    batch = max(1, int(LOOK_S / call_s)) if call_s > 0 else 1
    calls = 0
    with meters.window(synchronize, states=True) as window:
        end = time.perf_counter() + MARGIN * max(at_least_s, meters.min_window_s)
        while not calls or time.perf_counter() < end:
            for _ in repeat(None, batch):
                call()
            calls += batch
    return PerCall(calls, window.reading)
