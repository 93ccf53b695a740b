"""Read the energy of one steady load by energybench and by Zeus; needs an NVIDIA GPU.

    pytest benchmarks/test_instruments_gpu.py --benchmark-json=results/instruments-gpu.json

Goal: within 1 % of Zeus over the same 30 s. The file also keeps the distance of polled power from
the counter, idle watts, the cost of a window and the update interval of each meter.
"""

import os
import time

import pytest

from energybench.energy.measurement import gpus, synchronize_torch
from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.nvml.devices import in_use, initialized
from energybench.energy.meters.nvml.meter import NvmlMeter
from energybench.energy.meters.polling import PolledPower
from energybench.energy.windows import MeterSet

LOAD_S = 30.0


@pytest.fixture
def load():
    """Return a function that multiplies matrices for `LOAD_S` seconds and then synchronizes."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    one = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def run() -> None:
        end = time.perf_counter() + LOAD_S
        while time.perf_counter() < end:
            for _ in range(20):
                one @ one
            torch.cuda.synchronize()

    run_s = time.perf_counter() + 2.0
    while time.perf_counter() < run_s:  # clocks and temperature settle
        one @ one
        torch.cuda.synchronize()
    return run


@pytest.fixture
def counter():
    """Open the counter of the GPU in use."""
    try:
        meter = NvmlMeter(gpus().gpu_uuids)
    except MeterUnavailable as error:
        pytest.skip(str(error))
    with MeterSet({"nvml": meter}) as meters:
        yield meters


def test_beside_zeus(benchmark, load, counter):
    """Compare the joules of energybench and Zeus over the same load."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "0").isdigit():
        pytest.skip("Zeus counts GPUs by index: name one index in CUDA_VISIBLE_DEVICES")
    monitor = pytest.importorskip("zeus.monitor").ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    monitor.begin_window("load")
    with counter.window(synchronize_torch, states=True) as window:
        benchmark.pedantic(load, rounds=1)
    theirs = monitor.end_window("load")
    ours = window.reading
    benchmark.extra_info |= {
        "our_joules": ours.it_joules,
        "our_seconds": ours.duration_s,
        "zeus_joules": theirs.total_energy,
        "zeus_seconds": theirs.time,
        "zeus_over_ours": theirs.total_energy / ours.it_joules,
        "flags": ours.flags,
    }
    assert theirs.total_energy == pytest.approx(ours.it_joules, rel=0.01)


def test_polled_power_beside_the_counter(benchmark, load, counter):
    """Compare integrated power with the counter over the same load."""
    nvml = initialized()
    (gpu,) = in_use(nvml, None)
    polled = PolledPower(lambda: nvml.nvmlDeviceGetPowerUsage(gpu.handle) / 1e3)
    before = polled.joules()
    with counter.window(synchronize_torch) as window:
        benchmark.pedantic(load, rounds=1)
    joules = polled.joules() - before
    polled.close()
    nvml.nvmlShutdown()
    benchmark.extra_info |= {
        "counter_joules": window.reading.it_joules,
        "polled_joules": joules,
        "polled_over_counter": joules / window.reading.it_joules,
        "polling_cpu_s": polled.cpu_s,
    }


def test_what_doctor_sees(benchmark, load):
    """Idle watts, the cost of a window and update intervals, as `energybench doctor` finds them."""
    from energybench.energy.diagnosis import diagnose, take_inventory
    from energybench.energy.opening import open_meters

    time.sleep(10.0)  # the load's heat and clocks
    with open_meters(["auto"], gpus()) as automatic:
        arguments = (take_inventory(), automatic, gpus(), 3.0, 10.0)
        found = benchmark.pedantic(diagnose, args=arguments, rounds=1)
    benchmark.extra_info["doctor"] = found.to_json()
