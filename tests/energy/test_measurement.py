import itertools
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.fake_hardware import A100, OTHER, FakeNvml
from support.locks import HOLD, end, start_holder
from support.replay import TRACE

import energybench
from energybench.energy.lock import exclusive_use
from energybench.energy.machine import gpu_id
from energybench.energy.units import JOULES_PER_KWH
from energybench.errors import UsageError


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of this test alone."""
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path))
    return tmp_path


def test_measure_a_block() -> None:
    with energybench.measure(meters=["replay"], replay=TRACE, pue=2.0) as energy:
        assert energy.joules == {"cpu:0": 50.0}, "so far"
    assert energy.joules == {"cpu:0": 100.0}
    assert energy.joules == {"cpu:0": 100.0}, "reading it costs nothing once the block has ended"
    assert energy.it_joules == 100.0
    assert energy.kwh == pytest.approx(100.0 * 2.0 / JOULES_PER_KWH)
    assert energy.sources == {"cpu:0": "replay"}
    assert energy.duration_s > 0
    assert energy.watts == pytest.approx(100.0 / energy.duration_s)


def test_one_name_may_be_given_alone() -> None:
    with energybench.measure(meters="replay", replay=TRACE) as energy:
        pass
    assert energy.joules == {"cpu:0": 50.0}
    assert energy.kwh == pytest.approx(50.0 * 1.58 / JOULES_PER_KWH)


def test_it_waits_for_the_device_at_both_ends() -> None:
    waits: list[int] = []
    with energybench.measure(meters=["replay"], replay=TRACE, synchronize=lambda: waits.append(0)):
        assert len(waits) == 1
    assert len(waits) == 2


def test_nothing_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("energybench.energy.opening.AUTO", ("nvml",))
    with energybench.measure(gpu_uuids=()) as energy:
        pass
    assert (energy.joules, energy.watts, energy.kwh, energy.sources) == ({}, None, None, {})
    assert energy.reading.unavailable == {"nvml": "no GPU in use"}


@pytest.mark.parametrize("pue", [0.5, float("nan"), 1e308])
def test_an_impossible_pue(pue: float) -> None:
    with pytest.raises(UsageError, match="must be at"), energybench.measure(pue=pue):
        pass


def test_the_gpus_that_cuda_shows_are_measured(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with energybench.measure(meters=["nvml"]) as energy:
        nvml.gpus[0].millijoules = 9_000_000
        nvml.gpus[1].millijoules = 1_003_000
    assert energy.joules == {f"gpu:{gpu_id(OTHER)}": 3.0}
    with energybench.measure(meters=["nvml"], gpu_uuids=[A100]) as energy:
        nvml.gpus[0].millijoules = 9_002_000
    assert energy.joules == {f"gpu:{gpu_id(A100)}": 2.0}


def test_pytorch_is_waited_for_where_it_uses_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 3,
        memory_reserved=lambda index: 0 if index == 1 else 2**20,
        synchronize=waited.append,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with energybench.measure(meters=["replay"], replay=TRACE):
        assert waited == [0, 2], "waiting for a device that nobody uses would make a context on it"
    assert waited == [0, 2, 0, 2]


def test_pytorch_is_not_loaded_to_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with energybench.measure(meters=["replay"], replay=TRACE):
        pass
    assert "torch" not in sys.modules


def test_a_measurement_prints_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(0, 2_000_000_000)
    clock = SimpleNamespace(perf_counter_ns=lambda: next(seconds))
    monkeypatch.setattr("energybench.energy.windows.time", clock)
    with energybench.measure(meters="replay", replay=TRACE) as energy:
        assert repr(energy) == "<Measurement 50 J over 2.0 s, 25 W (replay)>", "so far"
    assert repr(energy) == "<Measurement 100 J over 4.0 s, 25 W (replay)>"
    monkeypatch.setattr("energybench.energy.opening.AUTO", ("nvml",))
    with energybench.measure(gpu_uuids=()) as energy:
        pass
    assert repr(energy) == "<Measurement without energy over 2.0 s (nvml: no GPU in use)>"


def test_a_block_waits_for_another_process_unless_told_otherwise(
    locks: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("energybench.energy.lock.POLL_S", 0.01)
    holder = start_holder("cpu", locks)
    with (
        pytest.raises(UsageError, match=f"process {holder.pid}.; let it end first, or wait for it"),
        energybench.measure(meters="replay", replay=TRACE, wait=False),
    ):
        pass
    with energybench.measure(meters="replay", replay=TRACE, exclusive=False) as energy:
        pass
    assert energy.it_joules == 50.0
    assert caplog.text == ""
    threading.Timer(0.2, end, [holder]).start()
    with energybench.measure(meters="replay", replay=TRACE) as energy:
        pass
    assert energy.it_joules == 50.0
    assert "waiting until it ends" in caplog.text


def test_blocks_may_be_nested_and_hold_the_machine_together(locks: Path) -> None:
    with energybench.measure(meters="replay", replay=TRACE, wait=False) as outer:
        with energybench.measure(meters="replay", replay=TRACE, wait=False) as inner:
            pass
        with exclusive_use(["cpu"], wait=False, say=pytest.fail):  # as a run of the suite does
            pass
        other = subprocess.run([sys.executable, "-c", HOLD, "cpu", str(locks)], capture_output=True)
        assert b"InUse" in other.stderr
    assert (inner.it_joules, outer.it_joules) == (50.0, 50.0)
    end(start_holder("cpu", locks))


def test_a_torch_that_is_still_being_imported_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    with energybench.measure(meters="replay", replay=TRACE) as energy:
        pass
    assert energy.it_joules == 50.0


def test_the_replay_meter_asks_for_its_trace() -> None:
    with (
        pytest.raises(UsageError, match="name one as `replay`"),
        energybench.measure(meters="replay"),
    ):
        pass
