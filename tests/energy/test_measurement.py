import sys
from types import SimpleNamespace

import pytest
from support.fake_hardware import A100, OTHER, FakeNvml

import energybench
from energybench.energy.machine import gpu_id
from energybench.energy.units import JOULES_PER_KWH
from energybench.errors import UsageError


def test_measure_a_block() -> None:
    with energybench.measure(meters=["replay"], pue=2.0) as energy:
        assert energy.joules == {"cpu:0": 50.0}, "so far"
    assert energy.joules == {"cpu:0": 100.0}
    assert energy.joules == {"cpu:0": 100.0}, "reading it costs nothing once the block has ended"
    assert energy.kwh == pytest.approx(100.0 * 2.0 / JOULES_PER_KWH)
    assert energy.sources == {"cpu:0": "replay"}
    assert energy.duration_s > 0
    assert energy.watts == pytest.approx(100.0 / energy.duration_s)


def test_one_name_may_be_given_alone() -> None:
    with energybench.measure("replay") as energy:
        pass
    assert energy.joules == {"cpu:0": 50.0}
    assert energy.kwh == pytest.approx(50.0 * 1.58 / JOULES_PER_KWH)


def test_it_waits_for_the_device_at_both_ends() -> None:
    waits: list[int] = []
    with energybench.measure(["replay"], synchronize=lambda: waits.append(0)):
        assert len(waits) == 1
    assert len(waits) == 2


def test_nothing_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("energybench.energy.opening.AUTO", ("nvml",))
    with energybench.measure(gpu_uuids=()) as energy:
        pass
    assert (energy.joules, energy.watts, energy.kwh, energy.sources) == ({}, None, None, {})
    assert energy.reading.unavailable == {"nvml": "no GPU in use"}


@pytest.mark.parametrize("pue", [0.5, float("nan")])
def test_an_impossible_pue(pue: float) -> None:
    with pytest.raises(UsageError, match="must be at least 1"), energybench.measure(pue=pue):
        pass


def test_the_gpus_that_cuda_shows_are_measured(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with energybench.measure(["nvml"]) as energy:
        nvml.gpus[0].millijoules = 9_000_000
        nvml.gpus[1].millijoules = 1_003_000
    assert energy.joules == {f"gpu:{gpu_id(OTHER)}": 3.0}
    with energybench.measure(["nvml"], gpu_uuids=[A100]) as energy:
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
    with energybench.measure(["replay"]):
        assert waited == [0, 2], "waiting for a device that nobody uses would make a context on it"
    assert waited == [0, 2, 0, 2]


def test_pytorch_is_not_loaded_to_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with energybench.measure(["replay"]):
        pass
    assert "torch" not in sys.modules
