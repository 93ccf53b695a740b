"""Time energybench's windows beside those of CodeCarbon and Zeus, in one run.

    pytest benchmarks/test_instruments.py

RAPL's tree is a stand-in, and so is the GPU on a machine without one: the times are those of the
code, not of a driver's answer. Goals: at most 1 ms per window with counters, a tenth of
CodeCarbon's; no thread for GPU counters, and at most 0.1 % of a core in the background.
"""

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

import pytest
from support.fake_hardware import A100, FakeGpu, FakeNvml, FakePowercap

from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.codecarbon import CodeCarbonMeter
from energybench.energy.meters.nvml.meter import NvmlMeter
from energybench.energy.meters.rapl import RaplMeter
from energybench.energy.windows import MeterSet

ROUNDS = 40
BACKGROUND_S = 60.0

PAUSE_S = 0.06
"""Seconds inside a window: below 50 ms CodeCarbon's tasks skip their measurement."""

Window = AbstractContextManager[object]


@pytest.fixture
def gpu_meter(monkeypatch):
    """Return a function that opens this machine's GPU, or a stand-in at 100 W.

    Its argument `counts` chooses a GPU with an energy counter or one without.
    """

    def opened(counts: bool = True) -> tuple[str, NvmlMeter]:
        if counts:
            with suppress(MeterUnavailable):
                return "NVML counter", NvmlMeter(None)
        fake = FakeNvml([FakeGpu(A100, milliwatts=100_000)])
        fake.nvmlDeviceGetTotalEnergyConsumption = count_time if counts else refuse
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "pynvml", fake)
            return "NVML stand-in", NvmlMeter([A100])

    return opened


def count_time(handle: FakeGpu) -> int:
    """Advance with the clock, at 100 W; millijoules, as NVML counts."""
    return int(time.perf_counter() * 100_000)


def refuse(handle: FakeGpu) -> int:
    """Answer as a GPU without a counter."""
    raise FakeNvml.NVMLError_NotSupported


@pytest.fixture
def packages(tmp_path) -> str:
    """Return the path of a powercap tree with two packages and their memory."""
    tree = FakePowercap(tmp_path)
    for index in range(2):
        tree.zone(f"intel-rapl:{index}", f"package-{index}", 10**9)
        tree.zone(f"intel-rapl:{index}/intel-rapl:{index}:0", "dram", 10**9)
    return str(tmp_path)


def codecarbons() -> Iterator[tuple[str, Callable[[], Window]]]:
    """Yield CodeCarbon's two ways to measure: a task of a running tracker, and a new tracker."""
    from codecarbon import OfflineEmissionsTracker
    from codecarbon.output import OutputMethod

    settings = {
        "country_iso_code": "FRA",
        "output_methods": list[OutputMethod](),
        "log_level": "error",
        "allow_multiple_runs": True,
    }
    tracker = OfflineEmissionsTracker(**settings)

    @contextmanager
    def task() -> Iterator[None]:
        tracker.start_task()
        yield
        tracker.stop_task()

    @contextmanager
    def new() -> Iterator[None]:
        fresh = OfflineEmissionsTracker(**settings)
        fresh.start()
        yield
        fresh.stop()

    yield "CodeCarbon's task", task
    yield "CodeCarbon's tracker", new


def zeus() -> Iterator[tuple[str, Callable[[], Window]]]:
    """Yield Zeus' monitor on the devices of this machine, if Zeus is installed."""
    try:
        from zeus.monitor import ZeusMonitor
    except ImportError:
        return
    monitor = ZeusMonitor()

    @contextmanager
    def window() -> Iterator[None]:
        monitor.begin_window("window", sync_execution=False)
        yield
        monitor.end_window("window", sync_execution=False)

    yield f"Zeus, {len(monitor.gpu_indices) + len(monitor.cpu_indices)} devices", window


def medians(windows: dict[str, Callable[[], Window]], rounds: int) -> dict[str, float]:
    """Return the median seconds to open and close each window; windows take turns against drift."""
    seconds: dict[str, list[float]] = {name: [] for name in windows}
    for _ in range(rounds):
        for name, window in windows.items():
            before = time.perf_counter()
            with window():
                opened = time.perf_counter()
                time.sleep(PAUSE_S)
                closing = time.perf_counter()
            seconds[name].append(opened - before + time.perf_counter() - closing)
    return {name: statistics.median(values) for name, values in seconds.items()}


def test_cost_of_a_window(benchmark, gpu_meter, packages):
    """Compare seconds per window; ratios are CodeCarbon's seconds over those of our counters."""
    nvml, meter = gpu_meter()
    opened = {nvml: meter, "RAPL, 4 zones": RaplMeter(packages), "our estimate": CodeCarbonMeter()}
    with ExitStack() as stack:
        windows: dict[str, Callable[[], Window]] = {
            name: stack.enter_context(MeterSet({name: meter})).window
            for name, meter in opened.items()
        }
        windows |= dict(codecarbons()) | dict(zeus())
        medians(windows, 2)  # the first window of each kind imports and opens its libraries
        cost = medians(windows, ROUNDS)

        def window() -> None:
            with windows[nvml]():
                pass

        benchmark.pedantic(window, rounds=200, warmup_rounds=10)
    ratios = {
        f"{theirs} / {mine}": cost[theirs] / cost[mine]
        for theirs in ("CodeCarbon's tracker", "CodeCarbon's task")
        for mine in (nvml, "RAPL, 4 zones")
    }
    benchmark.extra_info |= {"window_s": cost, "ratios": ratios}
    report("seconds per window", cost)
    report("ratios", ratios)


@pytest.mark.parametrize("meter", ["nvml counter", "rapl", "nvml power"])
def test_cost_in_the_background(benchmark, gpu_meter, packages, meter):
    """Count the threads of an open window, and their CPU seconds in one minute."""
    threads = threading.active_count()
    opened = RaplMeter(packages) if meter == "rapl" else gpu_meter(meter == "nvml counter")[1]
    with MeterSet({meter: opened}) as meters:
        started = threading.active_count() - threads

        def minute() -> None:
            with meters.window() as window:
                time.sleep(BACKGROUND_S)
            minute.reading = window.reading

        benchmark.pedantic(minute, rounds=1)
    reading = minute.reading
    share = reading.background_cpu_s / reading.duration_s
    benchmark.extra_info |= {"threads": started, "background_share": share}
    report(meter, {"threads": started, "share of a core": share})


def report(title: str, values: dict[str, float]) -> None:
    """Print one line beside pytest-benchmark's table; `-s` shows it."""
    parts = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
    print(f"\n{title}: {parts}")
