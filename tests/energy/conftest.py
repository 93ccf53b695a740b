"""Hardware that the tests pretend to have."""

import sys
from pathlib import Path

import pytest
from support.fake_hardware import A100, OTHER, FakeGpu, FakeNvml, FakePowercap

from energybench.energy.meters.hwmon.meter import HwmonMeter
from energybench.energy.meters.perf import PerfMeter
from energybench.energy.meters.rapl import RaplMeter


@pytest.fixture(autouse=True)
def no_cuda_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests say which GPUs CUDA shows."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """An NVML with two GPUs."""
    fake = FakeNvml([FakeGpu(A100), FakeGpu(OTHER)])
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.fixture
def powercap(tmp_path: Path) -> FakePowercap:
    """An empty powercap class folder."""
    return FakePowercap(tmp_path)


@pytest.fixture
def no_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the counters of the machine that runs the tests."""
    nowhere = str(tmp_path / "nowhere")
    for meter, others in ((RaplMeter, ()), (PerfMeter, ()), (HwmonMeter, ((), ()))):
        monkeypatch.setattr(meter.__init__, "__defaults__", (*others, nowhere))
