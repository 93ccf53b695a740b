"""Joules per call of calls that another tool makes and times: windows around its rounds.

The calls are never wrapped. Whoever makes them says, between two rounds, how many there were and
how many seconds they took.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise

from energybench.energy.per_call import PerCall, joules_of_one
from energybench.energy.readings import EnergyReading, added
from energybench.energy.windows import MARGIN, MeterSet, Window

LEAST_S = 0.1
"""The shortest repeat, seconds: reading a meter takes less than a hundredth of it."""


def repeat_s(meters: MeterSet) -> float:
    """Return the least seconds of one repeat, so that all of `meters` resolve it."""
    return MARGIN * max(LEAST_S, meters.min_window_s)


@dataclass(frozen=True)
class Length:
    """How long the windows of one test must be: so long that the meters resolve each repeat."""

    meters: MeterSet
    repeats: int

    @property
    def repeat_s(self) -> float:
        """The least seconds of one repeat."""
        return repeat_s(self.meters)

    @property
    def needed_s(self) -> float:
        """The least seconds of all repeats; a single one is never longer than the meters need."""
        several = self.repeats > 1
        return self.repeats * self.repeat_s if several else MARGIN * self.meters.min_window_s

    def left_s(self, elapsed_s: float, repeats: int, repeat_left_s: float) -> float:
        """Return the seconds to go on for, at most to the end of the present repeat; 0 for none.

        `repeats` have ended so far; the present one is to take `repeat_left_s` more.
        """
        if self.repeats == 1:
            return max(0.0, self.needed_s - elapsed_s)
        return max(1e-9, repeat_left_s) if repeats < self.repeats else 0.0

    def is_reached_by(self, found: PerCall) -> bool:
        """Whether a measurement is long enough."""
        long_enough = found.reading.duration_s >= self.needed_s
        return long_enough and (self.repeats == 1 or len(found.repeats) >= self.repeats)


@dataclass(frozen=True)
class _Mark:
    """What there was from the start of the window until one moment."""

    calls: int
    timed_s: float | None
    reading: EnergyReading


class CallWindow:
    """One window around many calls, divided into repeats of at least `repeat_s`.

    Call `open`, then `mark` as often as `is_due`, then `close`. The number of calls and their
    seconds count from `open`; the seconds are None where the calls were not timed by the wall
    clock, and then all of the window is theirs.
    """

    def __init__(self, meters: MeterSet, synchronize: Callable[[], None] | None = None) -> None:
        self._meters = meters
        self._synchronize = synchronize or (lambda: None)
        self._repeat_s = repeat_s(meters)
        self._stack = ExitStack()
        self._window: Window | None = None
        self._marks: list[_Mark] = []
        self._wait_s = 0.0
        self._start = 0.0
        self.due = 0.0
        """The reading of `time.perf_counter` from which on a repeat is long enough."""

    @property
    def is_open(self) -> bool:
        """Whether the window has begun and not ended."""
        return self._window is not None

    def left_s(self, length: Length) -> float:
        """Return the seconds to go on for, so that the window gets `length`; 0 for none."""
        now = time.perf_counter()
        return length.left_s(now - self._start, len(self._marks), self.due - now)

    def open(self) -> None:
        """Begin the window."""
        window = self._meters.window(self._wait, states=True)
        self._window = self._stack.enter_context(window)
        self._start = time.perf_counter()
        self.due = self._start + self._repeat_s

    def mark(self, calls: int, timed_s: float | None) -> None:
        """End a repeat here and begin the next."""
        assert self._window is not None
        self._marks.append(_Mark(calls, timed_s, self._window.so_far()))
        self.due = time.perf_counter() + self._repeat_s

    def close(self, calls: int, timed_s: float | None) -> PerCall:
        """End the window and return the joules per call; there was at least one call."""
        assert self._window is not None
        whole = self.abandon()
        end = _Mark(calls, timed_s, whole)
        marks = self._marks
        if marks and whole.duration_s - marks[-1].reading.duration_s < self._repeat_s:
            marks = marks[:-1]  # what is left is too short: it belongs to the repeat before
        start = _Mark(0, None if timed_s is None else 0.0, EnergyReading(0.0, {}, {}))
        ends = [start, *marks, end]
        values = [
            _joules_between(one, other, self._wait_s if other is end else 0.0)
            for one, other in pairwise(ends)
        ]
        known = [value for value in values if value is not None]
        repeats = tuple(known) if len(known) == len(values) else ()
        return PerCall(calls, whole, _between_s(start, end, self._wait_s), repeats)

    def abandon(self) -> EnergyReading:
        """End the window without a result per call, and return its reading."""
        window, self._window = self._window, None
        assert window is not None
        self._stack.close()
        return window.reading

    def _wait(self) -> None:
        before = time.perf_counter()
        self._synchronize()
        self._wait_s = time.perf_counter() - before


def _between_s(start: _Mark, end: _Mark, wait_s: float) -> float:
    """Return the seconds between the calls; waiting for the device at the end is the calls'."""
    if start.timed_s is None or end.timed_s is None:
        return 0.0
    duration_s = end.reading.duration_s - start.reading.duration_s
    return max(0.0, duration_s - wait_s - (end.timed_s - start.timed_s))


def _joules_between(start: _Mark, end: _Mark, wait_s: float) -> float | None:
    """Return the joules per call from one mark to the next; None where they are not known."""
    calls = end.calls - start.calls
    before, after = start.reading.it_joules, end.reading.it_joules
    if calls <= 0 or after is None or (before is None and start.calls):
        return None
    duration_s = end.reading.duration_s - start.reading.duration_s
    return joules_of_one(after - (before or 0.0), duration_s, _between_s(start, end, wait_s), calls)


class Windows:
    """Several windows of one test, each around a few calls.

    A repeat is as many windows that follow each other as take `Length.repeat_s` together.
    """

    def __init__(self, length: Length, windows: Sequence[PerCall] = ()) -> None:
        self._length = length
        self._groups: list[list[PerCall]] = [[]]
        self._last_s = 0.0
        for one in windows:
            self.add(one)

    @property
    def all(self) -> list[PerCall]:
        """The windows in their order."""
        return [one for group in self._groups for one in group]

    @property
    def are_enough(self) -> bool:
        """Whether the windows are long enough."""
        length, whole = self._length, len(self._groups) - 1
        elapsed_s = whole * length.repeat_s + self._last_s
        return length.left_s(elapsed_s, whole, length.repeat_s) <= 0.0

    def add(self, one: PerCall) -> None:
        """Add a window."""
        self._groups[-1].append(one)
        self._last_s += one.reading.duration_s
        if self._last_s >= self._length.repeat_s:
            self._groups.append([])
            self._last_s = 0.0

    def joined(self) -> PerCall:
        """Return the joules per call of all windows, at least one, with their repeats."""
        groups = [group for group in self._groups if group]
        if len(groups) > 1 and self._groups[-1]:  # too short: it belongs to the repeat before
            groups[-2:] = [[*groups[-2], *groups[-1]]]
        means = [_pooled(group).it_joules for group in groups]
        known = [value for value in means if value is not None]
        repeats = tuple(known) if len(known) == len(means) else ()
        return replace(_pooled(self.all), repeats=repeats)


def _pooled(windows: Sequence[PerCall]) -> PerCall:
    reading = added(*(one.reading for one in windows))
    between_s = sum(one.between_s for one in windows)
    return PerCall(sum(one.calls for one in windows), reading, between_s)
