import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from support.fake_hardware import FakeMeter
from support.fake_plug import FakePlug, plugged_in, shelly, tasmota
from support.waiting import wait_until

from energybench.energy.meters.base import MeterContext, MeterUnavailable
from energybench.energy.meters.wall.meter import WallMeter
from energybench.energy.opening import open_meters
from energybench.energy.source import SHELLY, TASMOTA
from energybench.energy.windows import MeterSet

FAST_S = 0.01


@pytest.fixture
def plug() -> Iterator[FakePlug]:
    with plugged_in(shelly(100.0)) as found:
        yield found


def address(plug: FakePlug, brand: str = "shelly") -> str:
    return f"{brand}:{plug.place}"


def test_the_energy_is_the_plugs_power_times_the_time(plug: FakePlug) -> None:
    meter = WallMeter(address(plug), FAST_S)
    assert meter.domains() == {"wall:plug": SHELLY}
    with MeterSet({"wall": meter}) as meters:
        with meters.window() as window:
            time.sleep(0.1)
        reading = window.reading
    assert reading.watts == pytest.approx(100.0, rel=0.01)
    assert reading.flags == ["short_window"]
    assert set(plug.asked) == {"GET /rpc/Shelly.GetStatus"}
    assert reading.background_cpu_s > 0.0


def test_tasmota(plug: FakePlug) -> None:
    plug.answer = tasmota(40)
    meter = WallMeter(address(plug, "tasmota"), FAST_S)
    assert meter.domains() == {"wall:plug": TASMOTA}
    meter.close()
    assert plug.asked[0] == "GET /cm?cmnd=Status%208"


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (b"<!DOCTYPE html><html>", 200, r"its answer is not JSON \(<!DOCTYPE html><html\.\.\."),
        (b"\x1b[31m\xff", 200, r"its answer is not JSON \(\\x1b\[31m\\xff\.\.\.\)"),
        (b"[" * 60_000, 200, "its answer is not JSON"),
        (b"", 200, "its answer is not JSON"),
        (shelly(0.0), 200, "it reads 0 W, so this machine is not on it"),
        (shelly("much"), 200, "its power is 'much'"),
        ({}, 404, "it answers with status 404; is it a Shelly of generation 2"),
        ({}, 401, "status 401; it asks for a password, which is not sent"),
    ],
)
def test_what_is_no_wall_meter_is_not_opened(
    plug: FakePlug, answer: object, status: int, says: str
) -> None:
    plug.answer, plug.status = answer, status
    with pytest.raises(MeterUnavailable, match=says) as found:
        WallMeter(address(plug))
    assert str(found.value).startswith(f"http://{plug.place}/rpc/Shelly.GetStatus: ")
    assert "\n" not in str(found.value)


def test_it_stays_with_the_address_that_the_user_gave(plug: FakePlug) -> None:
    with plugged_in(shelly(100.0)) as other:
        plug.status, plug.headers = 302, {"Location": f"http://{other.place}/rpc/Shelly.GetStatus"}
        with pytest.raises(MeterUnavailable, match="status 302"):
            WallMeter(address(plug))
        assert other.asked == []


def test_no_proxy_is_asked(plug: FakePlug, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    WallMeter(address(plug)).close()
    assert plug.asked, "the plug itself was asked"


def test_nobody_at_the_address() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(MeterUnavailable, match="it cannot be reached: Connection refused"):
            WallMeter(f"shelly:{place}")


def test_one_that_trickles_is_left_after_the_timeout(plug: FakePlug) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ended = threading.Event()

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                while not ended.wait(0.1):  # each byte comes within the limit of one read
                    connection.sendall(b"H")

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        began = time.perf_counter()
        with pytest.raises(MeterUnavailable, match="no answer within 2 s"):
            WallMeter(f"shelly:127.0.0.1:{server.getsockname()[1]}")
        assert time.perf_counter() - began < 3.0
        ended.set()
        thread.join()


def test_a_plug_that_goes_away_within_a_window_costs_its_energy_with_the_reason() -> None:
    with plugged_in(shelly(100.0)) as plug:
        meter = WallMeter(address(plug), FAST_S, silence_s=0.15)
        parts = FakeMeter({"cpu:0": 5.0})
        meters = MeterSet({"wall": meter, "rapl": parts})
        window = meters.window()
        opened = window.__enter__()
    parts.joules["cpu:0"] = 12.0
    time.sleep(0.25)
    window.__exit__(None, None, None)
    meters.close()
    reading = opened.reading
    assert reading.joules == {"wall:plug": None, "cpu:0": 7.0}
    assert reading.it_joules is None, "the parts are no total in place of the whole"
    assert reading.unavailable["wall:plug"].startswith(f"http://{plug.place}/rpc/Shelly.GetStatus")
    assert "no answer for 0.15 s: it cannot be reached" in reading.unavailable["wall:plug"]
    assert reading.why_missing == f"wall:plug: {reading.unavailable['wall:plug']}"


def test_a_plug_that_comes_back_is_read_again_but_no_window_around_its_silence(
    plug: FakePlug,
) -> None:
    meter = WallMeter(address(plug), FAST_S, silence_s=0.2)
    with MeterSet({"wall": meter}) as meters, meters.window() as outer:
        with meters.window() as before:
            pass
        plug.status = 500
        time.sleep(0.4)
        plug.status = 200
        seen = len(plug.asked) + 3
        wait_until(lambda: len(plug.asked) >= seen)
        with meters.window() as at_the_end:
            pass
        with meters.window() as after:
            time.sleep(0.05)
    assert before.reading.it_joules is not None
    assert after.reading.watts == pytest.approx(100.0, rel=0.05)
    for window in (outer, at_the_end):
        assert window.reading.joules == {"wall:plug": None}
        assert "no answer for 0.2 s" in window.reading.unavailable["wall:plug"]


def test_a_plug_that_talks_nonsense_or_is_slow_for_a_moment_is_asked_again(plug: FakePlug) -> None:
    meter = WallMeter(address(plug), FAST_S, silence_s=30.0)
    try:
        for nonsense in (b"<html>restarting</html>", json.dumps({}).encode()):
            plug.answer = nonsense
            seen = len(plug.asked) + 2
            wait_until(lambda seen=seen: len(plug.asked) >= seen)  # type: ignore[misc]
            assert meter.read_joules()["wall:plug"] > 0.0
        plug.answer, plug.delay_s = shelly(50.0), 1.0
        began = time.perf_counter()
        meter.read_joules()
        assert time.perf_counter() - began < 0.9, "no reading waits for the plug"
        wait_until(lambda: meter._power.watts == 50.0)
    finally:
        plug.delay_s = 0.0
        meter.close()


def test_an_address_opens_it_beside_auto_and_the_parts_count_once(plug: FakePlug) -> None:
    with open_meters(["auto"], MeterContext(wall_meter=address(plug))) as meters:
        assert "wall:plug" in meters.sources
        assert not any(source.kind == "estimated" for source in meters.sources.values())
        with meters.window() as window:
            time.sleep(0.02)
    assert window.reading.it_joules == window.reading.joules["wall:plug"]
