"""Energy from polled power, for devices that have no energy counter.

A thread reads the watts ten times a second and adds up trapezoids. Changes between two readings are
missed. On A100 and H100 the sensor itself sees only a quarter of the time (Z. Yang, K. Adamek,
W. Armour, arXiv 2312.02741), so power is polled only on devices without a counter.
"""

import threading
import time
from collections.abc import Callable

PERIOD_S = 0.1
"""Seconds between two readings."""


def trapezoid(seconds: float, watts_before: float, watts_after: float) -> float:
    """Joules of a power that changes linearly from one value to the other within `seconds`."""
    return seconds * (watts_before + watts_after) / 2.0


class PolledPower:
    """Joules since construction, by integration of `watts()`. Close it when done.

    `watts` reads the power. An error of `watts` ends the polling, and the next `joules()` raises
    it.
    """

    def __init__(
        self,
        watts: Callable[[], float],
        period_s: float = PERIOD_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._watts = watts
        self._clock = clock
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._joules = 0.0
        self._cpu_s = 0.0
        self._at, self._power = clock(), watts()
        self._closing = threading.Lock()  # waiting for a lock takes less CPU than for an Event
        self._closing.acquire()
        self._thread = threading.Thread(
            target=self._poll, args=(period_s,), name="energybench-power", daemon=True
        )
        self._thread.start()

    def joules(self) -> float:
        """Joules until now; reads the power once more."""
        self._advance()
        if self._failure is not None:
            raise self._failure
        return self._joules

    @property
    def cpu_s(self) -> float:
        """CPU seconds that the thread has used."""
        return self._cpu_s

    def close(self) -> None:
        """End the thread."""
        if self._thread.is_alive():
            self._closing.release()
            self._thread.join()

    def _poll(self, period_s: float) -> None:
        while self._failure is None and not self._closing.acquire(timeout=period_s):
            self._advance()
            self._cpu_s = time.thread_time()

    def _advance(self) -> None:
        with self._lock:
            if self._failure is not None:
                return
            try:
                power = self._watts()
            except Exception as error:  # raised to the reader, in joules()
                self._failure = error
                return
            now = self._clock()
            self._joules += trapezoid(now - self._at, self._power, power)
            self._at, self._power = now, power
