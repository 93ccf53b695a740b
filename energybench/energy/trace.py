"""A power trace: what the meters read second by second, sampled beside a measurement."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from energybench.energy.readings import PowerTrace
from energybench.energy.windows import MeterSet, Window

PERIOD_S = 1.0
"""Ten updates of a GPU's counter: shorter samples would show its steps instead of the power."""


class Tracer:
    """A trace in the making, and the clock that its times are on."""

    def __init__(self, period_s: float, domains: Iterable[str]) -> None:
        self.trace = PowerTrace(period_s, [], {domain: [] for domain in domains})
        self._began = time.perf_counter()

    def mark(self, name: str) -> None:
        """Note that something called `name` starts now."""
        self.trace.marks[name] = time.perf_counter() - self._began

    def append(self, window: Window) -> None:
        """Add a sample that has just ended.

        One under half a period, which only the last can be, would show a counter's steps: it is
        left out unless it is the only one.
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

    The trace fills up as it goes. Sampling costs energy itself: nobody samples unasked.
    """
    tracer = Tracer(period_s, meters.sources)
    done = threading.Event()

    def sample() -> None:
        while not done.is_set():
            with meters.window() as window:
                done.wait(period_s)
            tracer.append(window)

    thread = threading.Thread(target=sample, name="energybench-trace", daemon=True)
    thread.start()
    try:
        yield tracer
    finally:
        done.set()
        thread.join()
