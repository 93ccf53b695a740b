"""Meters against each other on one steady load, idle power, and the ceilings of a device.

    python -m benchmarks.gpu --part 1

Goal: within 1 % of Zeus over the same load. On a CPU it is a rehearsal: NVML and Zeus are missing.
"""

import os
import time
from contextlib import ExitStack

import pytest

from energybench.energy.measurement import gpus, synchronize_torch
from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.opening import AUTO, open_meter, open_meters
from energybench.energy.windows import MeterSet

SIDE = {"cuda": 8192, "cpu": 512}
"""Side of the square matrices that are multiplied."""
APART = 0.01
"""Largest distance from Zeus, as a share."""


@pytest.fixture
def load(device, pytestconfig):
    """Return a function that multiplies matrices for `--load-s` seconds and then synchronizes."""
    import torch

    side, seconds = SIDE[device.type], pytestconfig.getoption("--load-s")
    one = torch.randn(side, side, device=device, dtype=torch.bfloat16)

    def run(seconds: float = seconds) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(20):
                one @ one
            synchronize_torch()

    run(min(2.0, seconds))  # clocks and temperature settle
    return run


def test_every_meter_on_one_load(load, check):
    """Read the same load by every meter that works here, all at once."""
    with ExitStack() as stack:
        opened, windows = {}, {}
        for name in AUTO:
            try:
                meter = open_meter(name, gpus())
            except MeterUnavailable as error:
                check(f"meter {name}", f"not available: {error}")
                continue
            opened[name] = stack.enter_context(MeterSet({name: meter}))
        for name, meters in opened.items():
            windows[name] = stack.enter_context(meters.window(synchronize_torch, states=True))
        load()
        readings = {name: window.so_far() for name, window in windows.items()}
    for name, reading in readings.items():
        for domain, joules in reading.joules.items():
            if joules is None:
                check(f"{name}, {domain}", "no reading")
                continue
            watts = joules / reading.duration_s
            flags = f" ({', '.join(reading.flags)})" if reading.flags else ""
            check(
                f"{name}, {domain}: mean power of the load",
                f"{watts:.1f} W over {reading.duration_s:.1f} s{flags}",
                watts=watts,
                joules=joules,
                seconds=reading.duration_s,
            )


@pytest.fixture
def counter():
    """Open the counter of the GPU in use."""
    from energybench.energy.meters.nvml.meter import NvmlMeter

    try:
        meter = NvmlMeter(gpus().gpu_uuids)
    except MeterUnavailable as error:
        pytest.skip(f"NVML: {error}")
    with MeterSet({"nvml": meter}) as meters:
        yield meters


def test_beside_zeus(load, counter, check):
    """Compare the joules of energybench and Zeus over the same load."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "0").isdigit():
        pytest.skip("Zeus counts GPUs by index: name one index in CUDA_VISIBLE_DEVICES")
    monitor = pytest.importorskip("zeus.monitor").ZeusMonitor(gpu_indices=[0], cpu_indices=[])
    monitor.begin_window("load")
    with counter.window(synchronize_torch, states=True) as window:
        load()
    theirs = monitor.end_window("load")
    ours = window.reading
    ratio = theirs.total_energy / ours.it_joules
    check(
        "Zeus over energybench, joules of one load",
        f"{ratio:.4f}",
        abs(ratio - 1.0) <= APART,
        f"{1 - APART:g} to {1 + APART:g}",
        our_joules=ours.it_joules,
        our_seconds=ours.duration_s,
        zeus_joules=theirs.total_energy,
        zeus_seconds=theirs.time,
    )


def test_polled_power_beside_the_counter(load, counter, check):
    """Compare integrated power with the counter over the same load."""
    from energybench.energy.meters.nvml.devices import in_use, initialized
    from energybench.energy.meters.polling import PolledPower

    nvml = initialized()
    (gpu,) = in_use(nvml, None)
    polled = PolledPower(lambda: nvml.nvmlDeviceGetPowerUsage(gpu.handle) / 1e3)
    before = polled.joules()
    with counter.window(synchronize_torch) as window:
        load()
    joules = polled.joules() - before
    polled.close()
    nvml.nvmlShutdown()
    ratio = joules / window.reading.it_joules
    check(
        "polled power over the counter, joules of one load",
        f"{ratio:.4f}",
        counter_joules=window.reading.it_joules,
        polled_joules=joules,
        polling_cpu_s=polled.cpu_s,
    )


def test_what_doctor_finds(load, check, pytestconfig):
    """Idle watts, the cost of a window and update intervals, as `energybench doctor` finds them."""
    from energybench.energy.diagnosis import diagnose, take_inventory

    quiet_s = pytestconfig.getoption("--quiet-s")
    time.sleep(quiet_s)  # the load's heat and clocks
    with open_meters(["auto"], gpus()) as automatic:
        found = diagnose(take_inventory(), automatic, gpus(), min(3.0, quiet_s), quiet_s)
    for domain, watts in found.idle_watts.items():
        check(f"idle power, {domain}", f"{watts:.1f} W over {quiet_s:g} s", watts=watts)
    if found.idle_refused:
        check("idle power", f"refused: {found.idle_refused}")
    for meter in found.meters:
        if meter.unavailable is not None:
            continue
        check(f"{meter.name}: cost of a window", f"{1e3 * meter.window_s:.3f} ms", s=meter.window_s)
        check(f"{meter.name}: cost of a reading", f"{1e3 * meter.read_s:.3f} ms", s=meter.read_s)
        for domain, interval_s in meter.update_interval_s.items():
            told = "no change seen" if interval_s is None else f"{1e3 * interval_s:.1f} ms"
            check(f"{meter.name}, {domain}: update interval", told, s=interval_s)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_ceiling_of_arithmetic(precision, device, check):
    """Time the fastest product of two large matrices, as the roofline does."""
    from energybench.runs.studies.intensity import peak_flops_per_s
    from energybench.training.precision import native

    lacking = native(precision, device)
    if lacking is not None:
        pytest.skip(lacking)
    flops_per_s = peak_flops_per_s(precision, device, synchronize_torch)
    check(f"ceiling, {precision}", f"{flops_per_s / 1e12:.3g} TFLOP/s", flops_per_s=flops_per_s)


def test_ceiling_of_memory(device, check):
    """Time the copy of a buffer far larger than the caches; reads and writes both count."""
    from energybench.runs.studies.intensity import peak_bytes_per_s

    bytes_per_s = peak_bytes_per_s(device, synchronize_torch)
    check("ceiling, memory", f"{bytes_per_s / 1e9:.4g} GB/s", bytes_per_s=bytes_per_s)


def test_ceiling_of_fp8(device, check):
    """Time products in float8_e4m3fn, which no method here trains in, beside those above."""
    import torch

    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9):
        pytest.skip("fp8 needs an NVIDIA GPU of the Ada generation or newer")
    side = SIDE["cuda"]
    left, right = (torch.randn(side, side, device=device).to(torch.float8_e4m3fn) for _ in range(2))
    scale = torch.ones((), device=device)

    def product():
        return torch._scaled_mm(
            left, right.t(), scale_a=scale, scale_b=scale, out_dtype=torch.bfloat16
        )

    flops_per_s = 2.0 * side**3 / seconds(product)
    check("ceiling, fp8", f"{flops_per_s / 1e12:.3g} TFLOP/s", flops_per_s=flops_per_s)


def test_two_to_four_kernel(device, check):
    """Compare a linear layer on sparse tensor cores with the same zeros in the dense layer."""
    import copy

    import torch
    from torch import nn

    from energybench.compression.sparse import keeps_of_four, realize

    if device.type != "cuda":
        pytest.skip("sparse tensor cores need an NVIDIA GPU of the Ampere generation or newer")
    dense = nn.Sequential(nn.Linear(4096, 4096, bias=False, dtype=torch.bfloat16)).to(device)
    weight = dense[0].weight.data
    weight.mul_(keeps_of_four(weight))
    sparse = copy.deepcopy(dense)
    assert realize(sparse) == ["0"]
    batch = torch.randn(8192, 4096, device=device, dtype=torch.bfloat16)
    with torch.inference_mode():
        expected, found = dense(batch).float(), sparse(batch).float()
        apart = ((found - expected).norm() / expected.norm()).item()
        ratio = seconds(lambda: dense(batch)) / seconds(lambda: sparse(batch))
    check("2:4 layer, distance from dense", f"{apart:.2g}", apart < 0.01, "below 0.01")
    check("2:4 layer, speed over dense", f"{ratio:.2f}", ratio=ratio)


def test_pinned_memory(device, check):
    """Compare copies to the GPU from pinned and from ordinary memory."""
    import torch

    if device.type != "cuda":
        pytest.skip("a CPU copies nothing to itself")
    rates = {}
    for pinned in (False, True):
        source = torch.ones(2**28, dtype=torch.uint8, pin_memory=pinned)
        target = torch.empty_like(source, device=device)
        copying_s = seconds(lambda: target.copy_(source, non_blocking=True))  # noqa: B023
        rates[pinned] = source.numel() / copying_s
    told = " and ".join(f"{rates[one] / 1e9:.3g} GB/s" for one in (True, False))
    check(
        "copies to the GPU, from pinned and from ordinary memory",
        told,
        rates[True] >= rates[False],
        "pinned no slower",
        pinned_bytes_per_s=rates[True],
        ordinary_bytes_per_s=rates[False],
    )


def seconds(call, rounds=8):
    """Return the least seconds of a synchronized call, after a first one."""
    call()
    found = []
    for _ in range(rounds):
        synchronize_torch()
        start = time.perf_counter()
        call()
        synchronize_torch()
        found.append(time.perf_counter() - start)
    return min(found)
