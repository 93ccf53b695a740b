import json
import threading
import time
from pathlib import Path

import pytest
from support.fake_hardware import FakeMeter

from energybench.energy.meters.base import MeterContext, MeterUnavailable
from energybench.energy.opening import open_meters
from energybench.energy.trace import power_trace
from energybench.energy.windows import MeterSet


class Steady(FakeMeter):
    """Draws 40 W from the CPU; the memory's counter is lost."""

    def read_joules(self) -> dict[str, float]:
        lost: dict[str, float] = {"dram:0": MeterUnavailable("lost")}  # type: ignore[dict-item]
        return {"cpu:0": 40.0 * time.perf_counter()} | lost


def test_a_trace_samples_power_and_marks_phases() -> None:
    meters = MeterSet({"fake": Steady({"cpu:0": 0.0, "dram:0": 0.0})})
    with power_trace(meters, period_s=0.05) as tracer:
        tracer.mark("load")
        time.sleep(0.12)
        tracer.mark("finetune")
        time.sleep(0.08)
    trace = tracer.trace
    assert 3 <= len(trace.time_s) <= 6
    assert trace.time_s == sorted(trace.time_s)
    assert trace.watts["cpu:0"] == pytest.approx([40.0] * len(trace.time_s), rel=0.2)
    assert trace.watts["dram:0"] == [None] * len(trace.time_s)
    assert trace.marks["load"] < 0.05
    assert 0.12 <= trace.marks["finetune"] < trace.time_s[-1]
    assert "energybench-trace" not in [thread.name for thread in threading.enumerate()]


def test_a_last_sample_too_short_to_mean_anything_is_left_out() -> None:
    meters = MeterSet({"fake": Steady({"cpu:0": 0.0})})
    with power_trace(meters, period_s=0.2) as tracer:
        time.sleep(0.25)
    assert len(tracer.trace.time_s) == len(tracer.trace.watts["cpu:0"]) == 1
    with power_trace(meters, period_s=60.0) as tracer:
        time.sleep(0.01)
    assert len(tracer.trace.time_s) == 1, "it is all there is"


def test_a_recorded_trace_can_be_replayed(tmp_path: Path) -> None:
    meters = MeterSet({"fake": Steady({"cpu:0": 0.0})})
    with power_trace(meters, period_s=0.02) as tracer:
        time.sleep(0.07)
    path = tmp_path / "trace.json"
    trace = tracer.trace
    path.write_text(json.dumps({"time_s": trace.time_s, "watts": trace.watts}))
    with open_meters(["replay"], MeterContext(replay=str(path))) as replayed:
        with replayed.window() as whole:
            for _ in trace.time_s[1:]:
                with replayed.window() as part:
                    pass
        assert whole.reading.sources == {"cpu:0": "replay"}
        joules = part.reading.joules["cpu:0"]
        assert joules is not None
        assert joules > 0.0
