import threading
import time

import pytest
from support.waiting import wait_until

from energybench.energy.meters.base import MeterSilent, MeterUnavailable
from energybench.energy.meters.slow import Sample, SlowPower

FAST_S = 0.005


class Sensor:
    """Answers what the test sets, on a clock that the test sets."""

    def __init__(self, watts: float, counted_j: float | None = None) -> None:
        self.sample = Sample(watts, counted_j)
        self.failure: Exception | None = None
        self.now_s = 100.0
        self.asked = 0

    def ask(self) -> Sample:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.sample

    def power(self, **settings: float) -> SlowPower:
        return SlowPower(self.ask, FAST_S, clock=lambda: self.now_s, **settings)

    def answers_twice_more(self) -> None:
        """Return after an answer that began after this call."""
        seen = self.asked + 2
        wait_until(lambda: self.asked >= seen)


def test_an_answer_holds_until_the_next_and_no_reading_waits() -> None:
    sensor = Sensor(10.0)
    power = sensor.power(silence_s=1e6)
    try:
        sensor.now_s += 3.0
        assert power.joules() == pytest.approx(30.0)
        sensor.answers_twice_more()
        sensor.sample = Sample(50.0)
        sensor.answers_twice_more()
        assert power.watts == 50.0
        sensor.now_s += 2.0
        assert power.joules() == pytest.approx(130.0)
        assert power.cpu_s > 0.0
    finally:
        power.close()
    assert not power._thread.is_alive()


def test_at_each_step_of_its_own_count_the_sum_is_the_counts() -> None:
    sensor = Sensor(10.0, counted_j=3600.0)
    power = sensor.power(silence_s=1e6)
    try:
        sensor.answers_twice_more()
        sensor.sample = Sample(10.0, 7200.0)  # the first step fixes the offset
        sensor.answers_twice_more()
        before = power.joules()
        sensor.now_s += 300.0  # 3,000 J by the power in the answers
        sensor.sample = Sample(10.0, 10_800.0)  # 3,600 J by the sensor's own count
        sensor.answers_twice_more()
        assert power.joules() - before == pytest.approx(3600.0)
        sensor.now_s += 400.0
        shown = power.joules()
        sensor.sample = Sample(10.0, 14_400.0)  # less than was shown: it never goes back
        sensor.answers_twice_more()
        assert power.joules() == shown
        sensor.now_s += 60.0
        assert power.joules() == pytest.approx(before + 7200.0 + 600.0)
    finally:
        power.close()


def test_a_count_that_was_reset_or_leaps_changes_nothing() -> None:
    sensor = Sensor(10.0, counted_j=3600.0)
    power = sensor.power(silence_s=1e6)
    try:
        sensor.answers_twice_more()
        sensor.sample = Sample(10.0, 7200.0)
        sensor.answers_twice_more()
        sensor.now_s += 10.0
        sensor.sample = Sample(10.0, 0.0)
        sensor.answers_twice_more()
        sensor.now_s += 10.0
        sensor.sample = Sample(10.0, 5.0)
        sensor.answers_twice_more()
        assert power.joules() == pytest.approx(200.0)
        sensor.now_s += 10.0
        sensor.sample = Sample(10.0, 1e12)
        sensor.answers_twice_more()
        sensor.now_s += 10.0
        assert power.joules() == pytest.approx(400.0)
    finally:
        power.close()


def test_a_short_silence_passes_and_a_long_one_is_told_at_least_once() -> None:
    sensor = Sensor(10.0)
    power = sensor.power(silence_s=5.0)
    try:
        sensor.failure = OSError("unplugged")
        sensor.answers_twice_more()
        sensor.now_s += 4.0
        assert power.joules() == pytest.approx(40.0)
        sensor.failure = None
        sensor.answers_twice_more()
        sensor.failure = OSError("unplugged")
        sensor.answers_twice_more()
        sensor.now_s += 6.0
        for _ in range(2):
            with pytest.raises(MeterSilent, match="no answer for 5 s: unplugged"):
                power.joules()
        sensor.now_s += 6.0
        sensor.failure = None
        sensor.answers_twice_more()
        with pytest.raises(MeterSilent):  # it has ended, and nobody asked meanwhile
            power.joules()
        before = power.joules()
        sensor.now_s += 2.0
        assert power.joules() - before == pytest.approx(20.0)
    finally:
        power.close()


def test_the_first_answer_must_come_and_in_time() -> None:
    sensor = Sensor(10.0)
    sensor.failure = MeterUnavailable("it is off")
    with pytest.raises(MeterUnavailable, match="it is off"):
        sensor.power()
    release = threading.Event()

    def never() -> Sample:
        release.wait(20.0)
        return Sample(1.0)

    began = time.perf_counter()
    with pytest.raises(MeterUnavailable, match=r"no answer within 0\.05 s"):
        SlowPower(never, timeout_s=0.05)
    assert time.perf_counter() - began < 1.0
    release.set()
    wait_until(lambda: not any(t.name == "energybench-slow-power" for t in threading.enumerate()))


def test_closing_does_not_wait_for_an_answer_that_does_not_come() -> None:
    release, sensor = threading.Event(), Sensor(10.0)

    def ask() -> Sample:
        if sensor.asked:
            release.wait(20.0)
        return sensor.ask()

    power = SlowPower(ask, FAST_S, timeout_s=0.1)
    began = time.perf_counter()
    assert power.joules() >= 0.0
    power.close()
    assert time.perf_counter() - began < 1.0
    release.set()
