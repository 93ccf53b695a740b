"""A meter of constant power, for what measures real time."""

import time

from energybench.energy.source import Source


class ClockMeter:
    """Reads `watts` x the seconds of the clock."""

    def __init__(self, watts: float, min_window_s: float = 0.0) -> None:
        self.watts = watts
        self.min_window_s = min_window_s
        self.reads = 0

    def domains(self) -> dict[str, Source]:
        return {"cpu:0": Source("clock", "measured")}

    def read_joules(self) -> dict[str, float]:
        self.reads += 1
        return {"cpu:0": self.watts * time.perf_counter()}

    def close(self) -> None:
        pass
