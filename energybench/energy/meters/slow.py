"""Energy from the power of a sensor that takes long to answer: a plug, a board's controller.

A thread asks it once a second, so that no window waits for it. Each answer holds until the next.
Where the sensor counts energy itself, its count corrects the sum at each of its steps: at a step it
is exact, and between steps, which may be a minute or 3,600 J apart, the power tells the rest.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from energybench.energy.meters.base import MeterSilent, MeterUnavailable

PERIOD_S = 1.0
"""Seconds between an answer and the next question."""
TIMEOUT_S = 2.0
"""The longest that opening waits for the first answer; ask with this limit, too."""
SILENCE_S = 5.0
"""Seconds without an answer for which the last one holds."""
COARSEST_STEP_J = 3600.0
"""The coarsest steps of a count: a thousandth of a kilowatt-hour."""
MIN_WINDOW_S = 20 * PERIOD_S
"""The shortest window: one second of another phase at its end is then 5 % of it."""


@dataclass(frozen=True)
class Sample:
    """One answer of a sensor."""

    watts: float
    counted_j: float | None = None
    """Joules that the sensor itself has counted since some moment; None if it does not."""


class SlowPower:
    """Joules since the first answer of `ask`; `joules()` never waits. Close it when done.

    `ask` gives a `Sample`, or raises. Raises what the first call raises, and `MeterUnavailable` if
    that takes over `timeout_s`. Later errors pass for `silence_s`; after that `joules()` raises
    `MeterSilent`, until there is an answer and at least once. A count that goes backwards, or leaps
    by far more than the power allows, was set by somebody, and starts anew.
    """

    def __init__(
        self,
        ask: Callable[[], Sample],
        period_s: float = PERIOD_S,
        timeout_s: float = TIMEOUT_S,
        silence_s: float = SILENCE_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.cpu_s = 0.0
        """CPU seconds that the thread has used."""
        self._ask = ask
        self._silence_s = silence_s
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()
        self._first = threading.Event()
        self._closed = threading.Event()
        self._error: Exception | None = None
        self._silence: MeterSilent | None = None
        """A silence that has ended and that no reader knows of."""
        self._sample: Sample | None = None
        self._at = 0.0
        self._joules = self._shown = self._stepped_j = 0.0
        self._offset: float | None = None
        self._thread = threading.Thread(
            target=self._poll, args=(period_s,), name="energybench-slow-power", daemon=True
        )
        self._thread.start()
        self._first.wait(timeout_s)
        with self._lock:
            if self._sample is None:
                self._closed.set()
                raise self._error or MeterUnavailable(f"no answer within {timeout_s:g} s")

    @property
    def watts(self) -> float:
        """The power in the last answer."""
        with self._lock:
            return 0.0 if self._sample is None else self._sample.watts

    def joules(self) -> float:
        """Joules until now; raises `MeterSilent` after a silence that was too long."""
        with self._lock:
            silence = self._silence or self._present_silence()
            self._silence = None
            if silence is not None:
                raise silence
            self._shown = max(self._shown, self._until(self._clock()))
            return self._shown

    def close(self) -> None:
        """End the thread; one that waits for an answer ends when that comes."""
        self._closed.set()
        self._thread.join(self._timeout_s)

    def _poll(self, period_s: float) -> None:
        while True:
            try:
                sample = self._ask()
            except Exception as error:  # raised to the reader, in joules()
                with self._lock:
                    self._error = error
            else:
                with self._lock:
                    self._take(sample)
            self._first.set()
            self.cpu_s = time.thread_time()
            if self._closed.wait(period_s):
                return

    def _present_silence(self) -> MeterSilent | None:
        if self._clock() - self._at <= self._silence_s:
            return None
        why = f": {self._error}" if self._error is not None else ""
        return MeterSilent(f"no answer for {self._silence_s:g} s{why}")

    def _until(self, now: float) -> float:
        return self._joules + (self._sample.watts * (now - self._at) if self._sample else 0.0)

    def _take(self, sample: Sample) -> None:
        now = self._clock()
        if self._sample is not None:
            self._silence = self._present_silence() or self._silence
        self._joules = self._until(now)
        before = None if self._sample is None else self._sample.counted_j
        self._sample, self._at, self._error = sample, now, None
        counted = sample.counted_j
        if before is None or counted is None or counted < before:
            self._offset = None
        elif counted > before:
            self._correct(counted)

    def _correct(self, counted_j: float) -> None:
        """Believe the sensor's count at one of its steps, unless the power belies it."""
        if self._offset is None:
            self._offset = counted_j - self._joules
        correction = counted_j - self._offset - self._joules
        if abs(correction) > COARSEST_STEP_J + self._joules - self._stepped_j:
            self._offset = counted_j - self._joules
        else:
            self._joules += correction
        self._stepped_j = self._joules
