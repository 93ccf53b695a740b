from typing import Any

import pytest
from support.fake_plug import shelly, tasmota

from energybench.energy.meters.slow import Sample
from energybench.energy.meters.wall.address import address_of
from energybench.energy.meters.wall.answers import NotAnAnswer
from energybench.energy.meters.wall.plugs import plug_at


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("shelly:192.168.1.20", "http://192.168.1.20/rpc/Shelly.GetStatus"),
        ("shelly:plug.local:8080/2", "http://plug.local:8080/rpc/Shelly.GetStatus"),
        ("tasmota:[fe80::1]:81", "http://[fe80::1]:81/cm?cmnd=Status%208"),
    ],
)
def test_an_address_names_a_plug(address: str, url: str) -> None:
    assert plug_at(address_of(address)).url == url


@pytest.mark.parametrize(
    ("address", "answer", "sample"),
    [
        ("shelly:h", shelly(2.7, 7258.589), Sample(2.7, 7258.589 * 3600)),
        ("shelly:h", shelly(120, 5, "pm1:0"), Sample(120, 18_000.0)),
        ("shelly:h/1", shelly(1) | shelly(2, 0, "switch:1"), Sample(2, 0.0)),
        ("shelly:h", shelly(3, None), Sample(3, None)),
        ("tasmota:h", tasmota(5, 3.705), Sample(5, 3.705 * 3.6e6)),
        ("tasmota:h/1", tasmota([5, 6], [1.0, 2.0]), Sample(6, 7.2e6)),
        ("tasmota:h/1", tasmota([5, 6], 3.0), Sample(6, None)),
    ],
)
def test_power_and_count_are_read(address: str, answer: Any, sample: Sample) -> None:
    found = plug_at(address_of(address)).sample(answer)
    assert found.watts == sample.watts
    assert found.counted_j == pytest.approx(sample.counted_j)


@pytest.mark.parametrize(
    ("address", "answer", "says"),
    [
        ("shelly:h", {}, "no power; is it a Shelly of generation 2"),
        ("shelly:h", [], "no power"),
        ("shelly:h", {"switch:0": {"output": True}}, "no power"),
        ("shelly:h", {"switch:0": None, "switchboard": {"apower": 1}}, "no power"),
        ("shelly:h", shelly("12"), "its power is '12', not watts"),
        ("shelly:h", shelly(float("nan")), "its power is nan"),
        ("shelly:h", shelly(10**400), "its power is 1000"),
        ("shelly:h", shelly(-4), "its power is -4"),
        ("shelly:h", shelly(True), "its power is True"),
        ("shelly:h", shelly("\x1b[31m"), r"its power is '\\x1b\[31m'"),
        ("shelly:h", shelly(1) | shelly(2, 0, "switch:1"), "channels 0, 1; name one, as h/0"),
        ("shelly:h/3", shelly(1), "no channel 3"),
        ("tasmota:h", {"Command": "Unknown"}, "no power; is it a plug with Tasmota"),
        ("tasmota:h", {"StatusSNS": {"ENERGY": []}}, "no power"),
        ("tasmota:h", tasmota([]), "no power"),
    ],
)
def test_nonsense_is_named(address: str, answer: Any, says: str) -> None:
    with pytest.raises(NotAnAnswer, match=says):
        plug_at(address_of(address)).sample(answer)
