"""A power trace: the mean power of each second, sampled beside a measurement."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from energybench.energy.readings import PowerTrace
from energybench.energy.windows import MeterSet, Window

PERIOD_S = 1.0
"""Ten updates of a GPU's counter; a shorter sample would show the counter's steps."""


class Tracer:
    """A trace that grows, and the clock of its times."""

    def __init__(self, period_s: float, domains: Iterable[str]) -> None:
        self.trace = PowerTrace(period_s, [], {domain: [] for domain in domains})
        self._began = time.perf_counter()

    def mark(self, name: str) -> None:
        """Note that the phase called `name` starts now."""
        self.trace.marks[name] = time.perf_counter() - self._began

    def append(self, window: Window) -> None:
        """Add a sample that has just ended.

        A sample of less than half a period would show a counter's steps, so it is left out unless
        it is the only one. Only the last sample can be so short.
        """
        reading = window.reading
        if self.trace.time_s and reading.duration_s < self.trace.period_s / 2:
            return
        self.trace.time_s.append(time.perf_counter() - self._began)
        for domain, watts in self.trace.watts.items():
            joules = reading.joules[domain]
            watts.append(None if joules is None else joules / reading.duration_s)


@contextmanager
def power_trace(meters: MeterSet, period_s: float = PERIOD_S) -> Iterator[Tracer]:
    """Sample the mean watts of every domain each `period_s` while the block runs.

    The trace has a new sample after each period; a late one does not delay those that follow.
    Sampling itself costs energy, so no run samples unless asked to.
    """
    tracer = Tracer(period_s, meters.sources)
    done = threading.Event()

    def sample() -> None:
        due = time.perf_counter()
        while not done.is_set():
            due = max(due + period_s, time.perf_counter() + period_s / 2)
            with meters.window() as window:
                done.wait(due - time.perf_counter())
            tracer.append(window)

    thread = threading.Thread(target=sample, name="energybench-trace", daemon=True)
    thread.start()
    try:
        yield tracer
    finally:
        done.set()
        thread.join()
