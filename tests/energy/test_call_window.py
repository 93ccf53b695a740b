"""Windows around calls that others make: repeats, what lies between the calls, joined windows."""

import time

import pytest
from support.fake_hardware import FakeMeter

from energybench.energy.call_window import CallWindow, Length, Windows
from energybench.energy.per_call import PerCall
from energybench.energy.readings import EnergyReading
from energybench.energy.windows import MeterSet


def metered(joules: float = 0.0, min_window_s: float = 0.0) -> tuple[FakeMeter, MeterSet]:
    meter = FakeMeter({"cpu:0": joules}, min_window_s=min_window_s)
    return meter, MeterSet({"fake": meter})


def a_call(joules: float, seconds: float, between_s: float = 0.0) -> PerCall:
    reading = EnergyReading(seconds, {"cpu:0": joules}, {"cpu:0": "fake"})
    return PerCall(1, reading, between_s)


def test_what_lies_between_the_calls_belongs_to_none() -> None:
    meter, meters = metered()
    window = CallWindow(meters)
    window.open()
    time.sleep(0.05)
    meter.joules["cpu:0"] = 50.0
    found = window.close(calls=10, timed_s=0.01)
    between = found.between_s / found.reading.duration_s
    assert 0.5 < between < 0.9
    assert found.it_joules == pytest.approx(5.0 * (1.0 - between))
    assert found.joules == {"cpu:0": found.it_joules}


def test_calls_that_no_wall_clock_timed_have_the_whole_window() -> None:
    meter, meters = metered()
    window = CallWindow(meters)
    window.open()
    time.sleep(0.01)
    meter.joules["cpu:0"] = 50.0
    found = window.close(calls=10, timed_s=None)
    assert found.between_s == 0.0
    assert found.it_joules == 5.0


def test_waiting_for_the_device_belongs_to_the_calls() -> None:
    meter, meters = metered()
    window = CallWindow(meters, synchronize=lambda: time.sleep(0.05))
    window.open()
    meter.joules["cpu:0"] = 50.0
    found = window.close(calls=1, timed_s=0.0)
    assert found.reading.duration_s >= 0.05
    assert found.between_s < 0.01


def test_marks_divide_a_window_into_repeats() -> None:
    meter, meters = metered()
    window = CallWindow(meters)
    window.open()
    for calls, joules in ((10, 20.0), (20, 60.0)):
        time.sleep(0.11)
        assert time.perf_counter() >= window.due
        meter.joules["cpu:0"] = joules
        window.mark(calls, None)
    time.sleep(0.11)
    meter.joules["cpu:0"] = 70.0
    found = window.close(40, None)
    assert found.repeats == pytest.approx((2.0, 4.0, 0.5))
    assert found.it_joules == pytest.approx(70.0 / 40)


def test_a_rest_that_is_too_short_for_a_repeat_joins_the_one_before() -> None:
    meter, meters = metered()
    window = CallWindow(meters)
    window.open()
    time.sleep(0.11)
    meter.joules["cpu:0"] = 20.0
    window.mark(10, None)
    meter.joules["cpu:0"] = 30.0
    assert window.close(20, None).repeats == pytest.approx((1.5,))


def test_a_meter_that_fails_within_the_window_leaves_no_joules_and_the_reason() -> None:
    meter, meters = metered()
    window = CallWindow(meters)
    window.open()
    time.sleep(0.11)
    window.mark(10, None)
    meter.failure = OSError("gone")
    found = window.close(20, None)
    assert found.it_joules is None
    assert found.repeats == ()
    assert "gone" in (found.reading.why_missing or "")


def test_the_length_is_what_the_meters_need() -> None:
    _, meters = metered(min_window_s=2.0)
    one = Length(meters, 1)
    assert one.needed_s == pytest.approx(2.1)
    assert one.left_s(elapsed_s=2.0, repeats=0, repeat_left_s=0.1) == pytest.approx(0.1)
    assert one.left_s(elapsed_s=2.2, repeats=1, repeat_left_s=2.0) == 0.0
    three = Length(meters, 3)
    assert three.needed_s == pytest.approx(6.3)
    assert three.left_s(elapsed_s=7.0, repeats=2, repeat_left_s=0.2) == pytest.approx(0.2)
    assert three.left_s(elapsed_s=7.0, repeats=3, repeat_left_s=2.0) == 0.0
    assert Length(metered()[1], 1).needed_s == 0.0  # such a meter resolves any window


def test_short_windows_are_joined_to_repeats() -> None:
    _, meters = metered(min_window_s=1.0)
    windows = Windows(Length(meters, 2), [a_call(3.0, 0.6), a_call(5.0, 0.6)])
    assert not windows.are_enough
    for joules in (7.0, 9.0, 11.0):
        windows.add(a_call(joules, 0.6))
    assert windows.are_enough
    found = windows.joined()
    assert found.calls == 5
    assert found.it_joules == pytest.approx(7.0)
    assert found.repeats == pytest.approx((4.0, 9.0))  # the fifth is no repeat of its own
    assert found.reading.duration_s == pytest.approx(3.0)


def test_joined_windows_leave_out_what_lies_between_the_calls() -> None:
    _, meters = metered()
    found = Windows(Length(meters, 1), [a_call(4.0, 1.0, 0.5), a_call(4.0, 1.0, 0.5)]).joined()
    assert found.it_joules == pytest.approx(2.0)
    assert found.repeats == pytest.approx((2.0, 2.0))
