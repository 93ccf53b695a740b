import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.waiting import wait_until

from energybench.energy.meters.polling import PolledPower, trapezoid

NEVER_S = 1e6


@settings(max_examples=100, deadline=None)
@given(
    powers=st.lists(st.floats(0, 1000), min_size=2, max_size=10),
    lengths=st.lists(st.floats(0.01, 10), min_size=9, max_size=9),
)
def test_piecewise_linear_power_is_integrated_exactly(
    powers: list[float], lengths: list[float]
) -> None:
    now = {"s": 100.0, "w": powers[0]}
    polled = PolledPower(lambda: now["w"], period_s=NEVER_S, clock=lambda: now["s"])
    try:
        true_j = 0.0
        for before, after, length in zip(powers, powers[1:], lengths, strict=False):
            true_j += length * min(before, after) + length * abs(after - before) / 2
            now["s"] += length
            now["w"] = after
            assert polled.joules() == pytest.approx(true_j)
    finally:
        polled.close()


@given(seconds=st.floats(1e-6, 1e5), one=st.floats(1e-3, 1e4), other=st.floats(1e-3, 1e4))
def test_a_trapezoid_lies_between_its_rectangles(seconds: float, one: float, other: float) -> None:
    joules = trapezoid(seconds, one, other)
    assert seconds * min(one, other) <= joules * (1 + 1e-12)
    assert joules <= seconds * max(one, other) * (1 + 1e-12)


def test_the_thread_sees_what_happens_between_two_readings() -> None:
    asked: list[str] = []

    def watts() -> float:
        asked.append(threading.current_thread().name)
        return 10.0 if len(asked) < 6 else 0.0

    polled = PolledPower(watts, period_s=0.01)
    wait_until(lambda: len(asked) > 8)
    joules = polled.joules()
    polled.close()
    assert joules > 0.0, "a reading at the end alone would have seen nothing"
    assert asked[1] == "energybench-power"
    assert polled.cpu_s > 0.0


def test_a_sensor_that_fails_is_heard_of_at_the_next_reading() -> None:
    answers = iter([5.0])

    def watts() -> float:
        for answer in answers:
            return answer
        raise OSError("gone")

    polled = PolledPower(watts, period_s=0.005)
    wait_until(lambda: polled._failure is not None)
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            polled.joules()
    polled.close()
    assert not polled._thread.is_alive()
