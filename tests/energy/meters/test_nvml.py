import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_hardware import A100, OTHER, FakeGpu, FakeNvml

from energybench.energy.device_flags import device_flags
from energybench.energy.machine import gpu_id
from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.nvml import state as nvml_state
from energybench.energy.meters.nvml.devices import all_gpus, in_use, visible_uuids
from energybench.energy.meters.nvml.meter import NvmlMeter
from energybench.energy.readings import DeviceState
from energybench.energy.source import NVML_COUNTER, NVML_POWER
from energybench.energy.windows import MeterSet

FIRST = f"gpu:{gpu_id(A100)}"
SECOND = f"gpu:{gpu_id(OTHER)}"
THIRD = "GPU-1111bbbb-0000-4106-c12f-20bd9faed9f6"


def test_only_the_gpus_in_use_are_read(nvml: FakeNvml) -> None:
    meter = NvmlMeter([A100])
    assert meter.domains() == {FIRST: NVML_COUNTER}
    assert len(FIRST) == len("gpu:") + 12
    nvml.gpus[0].millijoules = 1_002_500
    nvml.gpus[1].millijoules = 1_009_999
    assert meter.read_joules() == {FIRST: 2.5}
    assert set(nvml.read) == {A100}


@settings(max_examples=50, deadline=None)
@given(
    start_mj=st.integers(0, 10**12),
    steps_j=st.lists(st.floats(0, 1e5), min_size=1, max_size=8),
    update_j=st.floats(0.001, 100.0),
)
def test_the_reading_is_true_to_the_counters_resolution(
    start_mj: int, steps_j: list[float], update_j: float
) -> None:
    """The counter shows the energy as of its last update, in whole millijoules."""
    fake, true_j = FakeNvml([FakeGpu(A100, millijoules=start_mj)]), 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pynvml", fake)
        meter = NvmlMeter([A100])
        for step_j in steps_j:
            true_j += step_j
            fake.gpus[0].millijoules = start_mj + int(true_j // update_j * update_j * 1e3)
            assert meter.read_joules()[FIRST] == pytest.approx(true_j, abs=update_j + 0.002)


@pytest.mark.parametrize(
    "form", ["{0}", "8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-8932f", "8932F"]
)
def test_every_form_of_a_uuid_names_the_same_domain(nvml: FakeNvml, form: str) -> None:
    assert list(NvmlMeter([form.format(A100), A100]).domains()) == [FIRST]


def test_an_ambiguous_or_unknown_uuid_is_refused(nvml: FakeNvml) -> None:
    with pytest.raises(MeterUnavailable, match="GPU-8932 names 2 GPUs"):
        NvmlMeter(["GPU-8932"])
    with pytest.raises(MeterUnavailable, match="NVML knows no GPU GPU-1234"):
        NvmlMeter(["GPU-1234"])
    assert nvml.sessions == 0, "a refused meter leaves NVML"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0", [A100]),
        ("1", [OTHER]),
        ("1,0", [OTHER, A100]),
        (" 2 , 1 ", [THIRD, OTHER]),
        (OTHER, [OTHER]),
        ("GPU-8932a,GPU-1", [OTHER, THIRD]),
        ("GPU-8932a,0", [OTHER, A100]),
        ("", []),
        ("-1", []),
        ("0,-1,1", [A100]),
        ("0,7,1", [A100]),
        ("0,nonsense,1", [A100]),
        ("GPU-8932", []),  # both of them
        ("0,0", []),
        ("GPU-8932a,1", []),  # twice the same
    ],
)
def test_cuda_visible_devices_in_every_form(visible: str, expected: list[str]) -> None:
    fake = FakeNvml([FakeGpu(A100), FakeGpu(OTHER), FakeGpu(THIRD)])
    environment = {"CUDA_VISIBLE_DEVICES": visible}
    assert visible_uuids(fake, all_gpus(fake), environment) == expected
    if expected:
        assert [gpu.uuid for gpu in in_use(fake, None, environment)] == expected
    else:
        with pytest.raises(MeterUnavailable, match="no GPU in use"):
            in_use(fake, None, environment)


def test_an_index_among_different_gpus_is_certain_only_in_bus_order() -> None:
    fake = FakeNvml([FakeGpu(A100), FakeGpu(OTHER, name="NVIDIA H100")])
    with pytest.raises(MeterUnavailable, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        in_use(fake, None, {"CUDA_VISIBLE_DEVICES": "1"})
    environment = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert [gpu.uuid for gpu in in_use(fake, None, environment)] == [OTHER]


def test_nobody_gets_all_gpus_of_a_node_unasked(nvml: FakeNvml) -> None:
    with pytest.raises(MeterUnavailable, match="2 GPUs, and none is named as the one in use"):
        NvmlMeter(None)
    nvml.gpus.pop()
    assert list(NvmlMeter(None).domains()) == [FIRST]
    nvml.gpus.pop()
    with pytest.raises(MeterUnavailable, match="no GPU in use"):
        NvmlMeter(None)


def test_no_gpu_in_use_asks_nvml_nothing(nvml: FakeNvml) -> None:
    with pytest.raises(MeterUnavailable, match="no GPU in use"):
        NvmlMeter([])
    assert nvml.read == []


@pytest.mark.parametrize(
    "uuid",
    [
        "MIG-5b2e3a06-7a9e-5c4e-8fd6-d6d9a5d1a4a1",
        "5b2e3a06-7a9e-5c4e-8fd6-d6d9a5d1a4a1",
        "GPU-8932f",
    ],
)
def test_mig_is_refused_however_it_is_named(nvml: FakeNvml, uuid: str) -> None:
    nvml.gpus[0].mig = True
    nvml.gpus[1].mig = False
    with pytest.raises(MeterUnavailable, match="MIG mode"):
        NvmlMeter([uuid])


def test_mig_in_cuda_visible_devices_is_refused(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-5b2e3a06")
    with pytest.raises(MeterUnavailable, match="MIG mode"):
        NvmlMeter(None)


def test_a_gpu_beside_one_in_mig_mode_is_read(nvml: FakeNvml) -> None:
    nvml.gpus[0].mig = True
    assert list(NvmlMeter([OTHER]).domains()) == [SECOND]


def test_a_lost_gpu_does_not_hide_the_others(nvml: FakeNvml) -> None:
    nvml.gpus[0].lost = True
    assert NvmlMeter([OTHER]).read_joules() == {SECOND: 0.0}


def test_power_is_polled_where_the_counter_is_missing_and_only_there(nvml: FakeNvml) -> None:
    nvml.gpus[0].millijoules = None
    meter = NvmlMeter([A100, OTHER])
    began = time.perf_counter()
    try:
        assert meter.domains() == {FIRST: NVML_POWER, SECOND: NVML_COUNTER}
        assert [t.name for t in threading.enumerate()].count("energybench-power") == 1
        time.sleep(0.35)
        read = meter.read_joules()
        least_s, most_s = 0.34, time.perf_counter() - began
        joules = read[FIRST]
        assert isinstance(joules, float)
        assert 250 * least_s < joules < 250 * (most_s + 0.1)
        assert read[SECOND] == 0.0
        assert 0.0 < meter.background_cpu_s() < most_s
    finally:
        meter.close()
    assert "energybench-power" not in [thread.name for thread in threading.enumerate()]


def test_counters_need_no_thread(nvml: FakeNvml) -> None:
    before = threading.active_count()
    meter = NvmlMeter([A100, OTHER])
    meter.read_joules()
    assert threading.active_count() == before
    assert meter.background_cpu_s() == 0.0


def test_a_gpu_with_neither_counter_nor_power_says_so(nvml: FakeNvml) -> None:
    nvml.gpus[0].millijoules = nvml.gpus[0].milliwatts = None
    with pytest.raises(MeterUnavailable, match="has neither an energy counter nor power"):
        NvmlMeter([A100])
    assert nvml.sessions == 0


@pytest.mark.parametrize("counts", [True, False], ids=["counter", "power"])
def test_a_gpu_lost_while_measuring_takes_only_itself(nvml: FakeNvml, counts: bool) -> None:
    if not counts:
        nvml.gpus[0].millijoules = None
    with MeterSet({"nvml": NvmlMeter([A100, OTHER])}) as meters:
        with meters.window() as window:
            nvml.gpus[0].lost = True
            nvml.gpus[1].millijoules = 1_004_000
        reading = window.reading
    assert reading.joules == {FIRST: None, SECOND: 4.0}
    assert reading.unavailable == {FIRST: f"cannot read the energy of {FIRST}: GPU is lost"}
    assert reading.it_joules is None


def test_a_counter_that_starts_anew_is_refused(nvml: FakeNvml) -> None:
    meter = NvmlMeter([A100])
    nvml.gpus[0].millijoules = 1_005_000
    meter.read_joules()
    nvml.gpus[0].millijoules = 17
    error = meter.read_joules()[FIRST]
    assert isinstance(error, MeterUnavailable)
    assert "went backwards" in str(error)


def test_closing_twice_leaves_nvml_once(nvml: FakeNvml) -> None:
    meter = NvmlMeter([A100])
    assert nvml.sessions == 1
    meter.close()
    meter.close()
    assert nvml.sessions == 0


def test_no_package_and_no_driver(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise nvml.NVMLError("Driver Not Loaded")

    monkeypatch.setattr(nvml, "nvmlInit", no_driver)
    with pytest.raises(MeterUnavailable, match="no NVIDIA driver: Driver Not Loaded"):
        NvmlMeter(["GPU-8932f"])
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterUnavailable, match="nvidia-ml-py is not installed"):
        NvmlMeter(["GPU-8932f"])


def test_the_real_pynvml_has_what_is_used_of_it() -> None:
    import pynvml

    names = [name for name in dir(FakeNvml) if name.startswith(("nvml", "NVML"))]
    assert [name for name in names if not hasattr(pynvml, name)] == []
    for name in names:
        if name.startswith(("nvmlClocksEvent", "NVML_")):
            assert getattr(FakeNvml, name) == getattr(pynvml, name)


def test_the_state_of_a_gpu_at_both_ends_is_in_the_reading(nvml: FakeNvml) -> None:
    with MeterSet({"nvml": NvmlMeter([A100])}) as meters:
        with meters.window(states=True) as window:
            pass
        with meters.window() as plain:
            pass
    state = DeviceState(61, 1410, 1593, (), 0.0, 0)
    assert window.reading.devices == {FIRST: {"start": state, "end": state}}
    assert window.reading.flags == plain.reading.flags == ["short_window"]
    assert plain.reading.devices == {}


def flags_after(nvml: FakeNvml, **changes: Any) -> list[str]:
    with MeterSet({"nvml": NvmlMeter([A100])}) as meters:
        with meters.window(states=True) as window:
            for name, value in changes.items():
                setattr(nvml.gpus[0], name, value)
        return window.reading.flags


@pytest.mark.parametrize(
    ("changes", "throttled"),
    [
        ({"event_reasons": 0x01}, False),  # idle
        ({"event_reasons": 0x04}, True),  # power cap
        ({"event_reasons": 0x20}, True),  # thermal
        ({"event_reasons": 0x48}, True),  # hardware, thermal
        ({"violation_ns": 10**9}, True),  # throttled between the ends only
        ({"states": False}, False),
    ],
)
def test_throttling_marks_the_reading(
    nvml: FakeNvml, changes: dict[str, int], throttled: bool
) -> None:
    assert ("throttled" in flags_after(nvml, **changes)) == throttled


@pytest.mark.parametrize(
    ("start_s", "end_s", "throttled"),
    [(5.0, 5.9, False), (5.0, 6.1, True), (None, 1000.0, False), (5.0, None, False)],
)
def test_throttling_counts_from_one_per_cent_of_the_time(
    start_s: float | None, end_s: float | None, throttled: bool
) -> None:
    devices = {FIRST: {"start": DeviceState(throttled_s=start_s), "end": DeviceState(None)}}
    devices[FIRST]["end"] = DeviceState(throttled_s=end_s)
    assert ("throttled" in device_flags(devices, duration_s=100.0)) == throttled


def test_other_processes_on_the_gpu_mark_the_reading(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml_state, "_in_container", lambda: False)
    own = os.getpid()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert "contaminated" not in flags_after(nvml, pids=(own, child.pid))
        assert "contaminated" in flags_after(nvml, pids=(own, 1))
        assert "contaminated" in flags_after(nvml, pids=(1,))
    finally:
        child.communicate(b"\n")


def test_in_a_container_one_unknown_process_is_this_one(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml_state, "_in_container", lambda: True)
    assert "contaminated" not in flags_after(nvml, pids=(4_000_001,))
    assert "contaminated" not in flags_after(nvml, pids=(4_000_001, 4_000_001))
    assert "contaminated" in flags_after(nvml, pids=(4_000_001, 4_000_002))
    assert "contaminated" in flags_after(nvml, pids=(os.getpid(), 4_000_001))
