import json
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_hardware import FakeMeter
from support.replay import TRACE

from energybench.energy import windows as window_module
from energybench.energy.cpu_use import CpuWatch
from energybench.energy.meters.base import MeterContext, MeterUnavailable
from energybench.energy.nodes import over_nodes
from energybench.energy.opening import open_meters
from energybench.energy.readings import CpuUse, added
from energybench.energy.source import Source
from energybench.energy.windows import MeterSet, Window
from energybench.interruption import interrupt, remembered


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test sets, in nanoseconds."""
    clock = SimpleNamespace(now_ns=0)
    fake = SimpleNamespace(
        perf_counter_ns=lambda: clock.now_ns, sleep=lambda seconds: clock.sleep(seconds)
    )
    monkeypatch.setattr(window_module, "time", fake)
    return clock


def test_a_window_reads_what_lies_between_its_ends(clock: Any) -> None:
    meter = FakeMeter({"cpu:0": 100.0, "dram:0": 7.0})
    with MeterSet({"fake": meter}, {"nvml": "no GPU in use"}).window() as window:
        clock.now_ns += 4_000_000_000
        meter.joules = {"cpu:0": 180.0, "dram:0": 9.0}
    assert window.reading.duration_s == 4.0
    assert window.reading.joules == {"cpu:0": 80.0, "dram:0": 2.0}
    assert window.reading.sources == {"cpu:0": "fake", "dram:0": "fake"}
    assert window.reading.watts == 20.5
    assert window.reading.flags == []
    assert window.reading.unavailable == {"nvml": "no GPU in use"}


@settings(max_examples=50, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(0, 10**12)), min_size=1, max_size=8
    ),
    already=st.integers(0, 10**9),
)
def test_windows_that_tile_a_span_sum_to_it(parts: list[tuple[int, int]], already: int) -> None:
    meter = FakeMeter({"cpu:0": 0.0})
    state = SimpleNamespace(joules=float(already), now_ns=0)
    meter.read_joules = lambda: {"cpu:0": state.joules}  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        fake = SimpleNamespace(perf_counter_ns=lambda: state.now_ns)
        patch.setattr(window_module, "time", fake)
        meters = MeterSet({"fake": meter})
        readings = []
        with meters.window() as whole:
            for joules, nanoseconds in parts:
                with meters.window() as part:
                    state.joules += joules
                    state.now_ns += nanoseconds
                readings.append(part.reading)
    assert sum(r.it_joules or 0.0 for r in readings) == whole.reading.it_joules
    assert sum(r.duration_s for r in readings) == pytest.approx(whole.reading.duration_s)


def test_replayed_windows_are_the_same_every_time() -> None:
    def readings() -> Iterator[Any]:
        with (
            open_meters(["replay"], MeterContext(replay=TRACE)) as meters,
            meters.window() as outer,
        ):
            for _ in range(3):
                with meters.window() as inner:
                    pass
                yield inner.reading.joules
        yield outer.reading.joules

    assert list(readings()) == list(readings()) == [{"cpu:0": 50.0}] * 3 + [{"cpu:0": 350.0}]


def test_an_open_window_can_be_read(clock: Any) -> None:
    meter = FakeMeter({"cpu:0": 0.0})
    with MeterSet({"fake": meter}).window() as window:
        clock.now_ns, meter.joules = 2_000_000_000, {"cpu:0": 100.0}
        assert window.so_far().watts == 50.0
        clock.now_ns, meter.joules = 3_000_000_000, {"cpu:0": 300.0}
        assert window.so_far().watts == 100.0
    clock.now_ns, meter.joules = 9_000_000_000, {"cpu:0": 900.0}
    assert window.so_far() == window.reading
    assert window.reading.it_joules == 300.0


def test_short_windows_are_marked(clock: Any) -> None:
    coarse = FakeMeter({"gpu:0": 0.0}, min_window_s=2.0)
    fine = FakeMeter({"cpu:0": 0.0})
    meters = MeterSet({"coarse": coarse, "fine": fine})
    with meters.window() as window:
        clock.now_ns += 1_999_999_999
    assert window.reading.flags == ["short_window"]
    with meters.window() as window:
        clock.now_ns += 2_000_000_000
    assert window.reading.flags == []


def test_the_device_is_waited_for_at_both_ends() -> None:
    events: list[str] = []
    meter = FakeMeter({"gpu:0": 0.0})
    meters = MeterSet({"fake": meter})

    def read() -> dict[str, float]:
        events.append("read")
        return {"gpu:0": 0.0}

    meter.read_joules = read  # type: ignore[method-assign]
    with meters.window(lambda: events.append("wait")):
        events.append("work")
    assert events == ["wait", "read", "work", "wait", "read"]


def test_an_error_of_the_block_passes_and_the_reading_is_there() -> None:
    meter = FakeMeter({"cpu:0": 1.0})
    waits = iter([None, RuntimeError("the device is gone too")])

    def wait() -> None:
        if (error := next(waits)) is not None:
            raise error

    def work() -> None:
        meter.joules = {"cpu:0": 5.0}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), MeterSet({"fake": meter}).window(wait) as window:
        work()
    assert window.reading.joules == {"cpu:0": 4.0}


def test_a_device_that_fails_at_the_end_is_heard_of_and_the_reading_is_there() -> None:
    waits = iter([None, RuntimeError("CUDA error")])

    def wait() -> None:
        if (error := next(waits)) is not None:
            raise error

    with (
        pytest.raises(RuntimeError, match="CUDA error"),
        MeterSet({"fake": FakeMeter({"cpu:0": 1.0})}).window(wait) as window,
    ):
        pass
    assert window.reading.joules == {"cpu:0": 0.0}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MeterUnavailable("GPU is lost"), "GPU is lost"),
        (ValueError(), "its meter failed with ValueError"),
    ],
)
def test_a_meter_that_dies_takes_only_its_own_domains(error: Exception, reason: str) -> None:
    gpu, cpu = FakeMeter({"gpu:0": 0.0}), FakeMeter({"cpu:0": 0.0})
    meters = MeterSet({"gpu": gpu, "cpu": cpu})
    with meters.window() as outer:
        with meters.window() as before:
            pass
        with meters.window() as inner:
            gpu.failure, cpu.joules = error, {"cpu:0": 3.0}
    with meters.window() as after:
        gpu.failure = None  # a meter that comes back has lost count
    assert before.reading.joules == {"gpu:0": 0.0, "cpu:0": 0.0}
    for window in (inner, outer):
        assert window.reading.joules == {"gpu:0": None, "cpu:0": 3.0}
        assert window.reading.sources == {"cpu:0": "fake"}
        assert window.reading.unavailable == {"gpu:0": reason}
        assert window.reading.it_joules is None, "a part would look like a saving"
    assert after.reading.joules["gpu:0"] is None


@pytest.mark.parametrize(
    ("joules", "reason"),
    [
        ({"cpu:0": 4.0}, "its meter went backwards, from 5 to 4 J"),
        ({"cpu:0": math.nan}, "its meter gave nan"),
        ({"cpu:0": -math.inf}, "its meter gave -inf"),
        ({"cpu:0": "7 J"}, "its meter gave '7 J'"),
        ({"cpu:0": None}, "its meter gave nothing"),
        ({}, "its meter gave nothing"),
        (None, "its meter failed with TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_an_invalid_reading_is_none_with_a_reason(joules: Any, reason: str) -> None:
    meter = FakeMeter({"cpu:0": 5.0})
    meter.read_joules = lambda: meter.joules  # type: ignore[method-assign]
    with MeterSet({"fake": meter}).window() as window:
        meter.joules = joules
    assert window.reading.joules == {"cpu:0": None}
    assert window.reading.sources == {}
    assert window.reading.it_joules is None
    assert window.reading.unavailable == {"cpu:0": reason}


def test_a_counter_that_went_backwards_is_not_believed_once_it_is_ahead_again() -> None:
    meter = FakeMeter({"cpu:0": 100.0})
    meters = MeterSet({"fake": meter})
    with meters.window() as outer:
        with meters.window():
            meter.joules = {"cpu:0": 3.0}
        meter.joules = {"cpu:0": 130.0}
    assert outer.reading.joules == {"cpu:0": None}
    assert outer.reading.unavailable == {"cpu:0": "its meter went backwards, from 100 to 3 J"}


def test_a_reading_that_was_no_number_spoils_only_the_windows_that_it_ends() -> None:
    meter = FakeMeter({"cpu:0": 1.0})
    meters = MeterSet({"fake": meter})
    with meters.window() as outer:
        with meters.window() as inner:
            meter.joules = {"cpu:0": math.nan}
        meter.joules = {"cpu:0": 8.0}
    assert inner.reading.unavailable == {"cpu:0": "its meter gave nan"}
    assert outer.reading.joules == {"cpu:0": 7.0}
    assert outer.reading.unavailable == {}


def test_numbers_of_numpy_are_numbers() -> None:
    meter = FakeMeter({"cpu:0": np.float32(1.5)})  # type: ignore[dict-item]
    with MeterSet({"fake": meter}).window() as window:
        meter.joules = {"cpu:0": np.int64(4)}  # type: ignore[dict-item]
    assert window.reading.joules == {"cpu:0": 2.5}
    assert json.dumps(window.reading.joules)


def test_a_meter_that_says_it_estimates_is_believed_whatever_its_sources_name() -> None:
    source = Source("datasheet", "estimated")
    own = FakeMeter({"wall:0": 0.0}, source=source)
    meters = MeterSet({"own": own, "rapl": FakeMeter({"cpu:0": 0.0}, source="rapl")})
    assert meters.sources == {"wall:0": source, "cpu:0": Source("rapl", "measured")}
    with meters.window() as window:
        pass
    reading = window.reading
    assert reading.sources == {"wall:0": "datasheet", "cpu:0": "rapl"}
    assert (reading.kind("wall:0"), reading.kind("cpu:0")) == ("estimated", "measured")
    assert reading.estimated
    assert reading.kinds == {"wall:0": "estimated"}, "the other's name tells it"
    assert added(reading, reading).estimated
    assert over_nodes({0: reading, 1: reading}, [0, 1]).kind("wall:0@node1") == "estimated"


def test_what_two_meters_read_counts_once() -> None:
    good = FakeMeter({"cpu:0": 0.0, "cpu:1": 0.0}, source="good")
    late = FakeMeter({"cpu:0": 0.0, "dram:0": 0.0}, source="late")
    with MeterSet({"good": good, "late": late}).window() as window:
        good.joules = {"cpu:0": 1.0, "cpu:1": 2.0}
        late.joules = {"cpu:0": 100.0, "dram:0": 4.0}
    assert window.reading.joules == {"cpu:0": 1.0, "cpu:1": 2.0, "dram:0": 4.0}
    assert window.reading.sources == {"cpu:0": "good", "cpu:1": "good", "dram:0": "late"}


def test_all_meters_are_closed_even_if_one_refuses() -> None:
    first, last = FakeMeter({"gpu:0": 0.0}), FakeMeter({"cpu:0": 0.0})
    bad = FakeMeter({"dram:0": 0.0})
    bad.close = lambda: 1 / 0  # type: ignore[assignment, method-assign]
    with (
        pytest.raises(ZeroDivisionError),
        MeterSet({"first": first, "bad": bad, "last": last}),
    ):
        pass
    assert first.closed == last.closed == 1


def test_idle_power_is_taken_off_beside_the_gross_energy(clock: Any) -> None:
    meter = FakeMeter({"cpu:0": 0.0, "dram:0": 0.0})
    meters = MeterSet({"fake": meter})

    def quiet(seconds: float) -> None:
        clock.now_ns += int(seconds * 1e9)
        meter.joules = {"cpu:0": 12.0 * seconds, "dram:0": 1.5 * seconds}

    clock.sleep = quiet
    with meters.window() as before:
        pass
    meters.measure_idle(4.0)
    assert meters.idle_watts == {"cpu:0": 12.0, "dram:0": 1.5}
    with meters.window() as window:
        clock.now_ns += 2_000_000_000
        meter.joules = {"cpu:0": 148.0, "dram:0": 9.0}
    assert before.reading.net_joules == {}
    assert before.reading.net_it_joules is None
    assert window.reading.joules == {"cpu:0": 100.0, "dram:0": 3.0}
    assert window.reading.net_joules == {"cpu:0": 76.0, "dram:0": 0.0}
    assert window.reading.net_it_joules == 76.0
    assert window.reading.it_joules == 103.0


def test_idle_power_is_measured_as_long_as_the_meters_need(clock: Any) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now_ns += int(seconds * 1e9)

    clock.sleep = sleep
    MeterSet({"fake": FakeMeter({"gpu:0": 0.0}, min_window_s=2.0)}).measure_idle(0.1)
    MeterSet({"fake": FakeMeter({"gpu:0": 0.0}, min_window_s=2.0)}).measure_idle(5.0)
    assert slept == [pytest.approx(2.1), 5.0]


def test_net_energy_is_not_known_in_part(clock: Any) -> None:
    meter = FakeMeter({"cpu:0": 0.0, "dram:0": 0.0})
    meters = MeterSet({"fake": meter})
    meters.idle_watts = {"cpu:0": 5.0}
    with meters.window() as window:
        clock.now_ns += 1_000_000_000
        meter.joules = {"cpu:0": 7.0, "dram:0": 1.0}
    assert window.reading.net_joules == {"cpu:0": 2.0}
    assert window.reading.net_it_joules is None


def test_what_the_meters_own_threads_cost_is_reported() -> None:
    meter = FakeMeter({"cpu:0": 0.0})
    spent = iter([0.25, 0.75])
    meter.background_cpu_s = lambda: next(spent)  # type: ignore[attr-defined]
    meters = MeterSet({"fake": meter, "other": FakeMeter({"gpu:0": 0.0})})
    with meters.window() as window:
        pass
    assert window.reading.background_cpu_s == 0.5


def test_a_meter_that_cannot_tell_what_its_threads_cost_costs_nothing_else() -> None:
    meter = FakeMeter({"cpu:0": 0.0})
    meter.background_cpu_s = lambda: 1 / 0  # type: ignore[attr-defined]
    with MeterSet({"fake": meter}).window() as window:
        meter.joules = {"cpu:0": 2.0}
    assert (window.reading.background_cpu_s, window.reading.it_joules) == (0.0, 2.0)


def test_one_domain_of_a_meter_can_fail_alone() -> None:
    meter = FakeMeter({"gpu:0": 1.0, "gpu:1": 1.0})
    lost: dict[str, Any] = {"gpu:0": MeterUnavailable("GPU is lost"), "gpu:1": 4.0}
    with MeterSet({"fake": meter}).window() as window:
        meter.joules = lost
    assert window.reading.joules == {"gpu:0": None, "gpu:1": 3.0}
    assert window.reading.unavailable == {"gpu:0": "GPU is lost"}


def test_the_shortest_window_that_all_resolve() -> None:
    gpu = FakeMeter({"gpu:0": 0.0}, min_window_s=2.0)
    cpu = FakeMeter({"cpu:0": 0.0}, min_window_s=0.1)
    unread = FakeMeter({"cpu:1": 0.0}, min_window_s=9.0)
    assert MeterSet({"gpu": gpu, "cpu": cpu, "unread": unread}).min_window_s == 2.0
    assert MeterSet({}).min_window_s == 0.0


class Uses(CpuWatch):
    """Machine seconds of each window, out of 8 that there were."""

    def __init__(self, *machine_s: float) -> None:
        super().__init__()
        self._left = iter(machine_s)

    def since(self, start: object) -> CpuUse:
        return CpuUse(0.0, next(self._left), 0.0, 8.0)


def test_idle_power_of_a_busy_machine_is_measured_again(clock: Any) -> None:
    meter = FakeMeter({"cpu:0": 0.0})
    meters = MeterSet({"fake": meter}, cpu=Uses(7.9, 0.1))
    watts = iter((90.0, 12.0))

    def sleep(seconds: float) -> None:
        clock.now_ns += int(seconds * 1e9)
        meter.joules = {"cpu:0": meter.joules["cpu:0"] + next(watts) * seconds}

    clock.sleep = sleep
    meters.measure_idle(4.0)
    assert meters.idle_watts == {"cpu:0": 12.0}
    assert "idle power" not in meters.unavailable


def test_idle_power_of_a_machine_that_stays_busy_is_refused_with_the_reason(clock: Any) -> None:
    meter = FakeMeter({"cpu:0": 0.0})
    meters = MeterSet({"fake": meter}, cpu=Uses(7.9, 7.9, 4.0, 0.0))

    def sleep(seconds: float) -> None:
        clock.now_ns += int(seconds * 1e9)
        meter.joules = {"cpu:0": meter.joules["cpu:0"] + 90.0 * seconds}

    clock.sleep = sleep
    meters.measure_idle(4.0)
    assert meters.idle_watts == {}
    with meters.window() as window:
        clock.now_ns += 4_000_000_000
        meter.joules = {"cpu:0": meter.joules["cpu:0"] + 200.0}
    assert window.reading.net_it_joules is None
    assert window.reading.unavailable["idle power"] == (
        "the machine was not idle in 3 attempts: others used 50 % of the processors, this process "
        "0 %"
    )


def test_an_interruption_while_a_meter_is_read_waits_for_the_reading() -> None:
    meter = FakeMeter({"cpu:0": 0.0})

    def read() -> dict[str, float]:
        if windows:
            interrupt("SIGTERM")
        return {"cpu:0": 5.0}

    meter.read_joules = read  # type: ignore[method-assign]
    windows: list[Window] = []
    with remembered(), pytest.raises(KeyboardInterrupt), MeterSet({"fake": meter}).window() as one:
        windows.append(one)
    assert windows[0].reading.joules == {"cpu:0": 0.0}
