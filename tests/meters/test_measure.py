import pytest

import energybench
from energybench.errors import UsageError
from energybench.units import JOULES_PER_KWH


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
    monkeypatch.setattr("energybench.meters.window.AUTO", ("nvml",))
    with energybench.measure() as energy:
        pass
    assert (energy.joules, energy.watts, energy.kwh, energy.sources) == ({}, None, None, {})
    assert energy.reading.unavailable == {"nvml": "no GPU in use"}


@pytest.mark.parametrize("pue", [0.5, float("nan")])
def test_an_impossible_pue(pue: float) -> None:
    with pytest.raises(UsageError, match="must be at least 1"), energybench.measure(pue=pue):
        pass
