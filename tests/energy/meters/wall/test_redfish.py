"""A board's controller with Redfish, over HTTPS on the loopback interface."""

import base64
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fake_plug import FakePlug, plugged_in

from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.slow import Sample
from energybench.energy.meters.wall.answers import NotAnAnswer
from energybench.energy.meters.wall.meter import WallMeter
from energybench.energy.meters.wall.redfish import sample
from energybench.energy.source import REDFISH
from energybench.energy.windows import MeterSet

CHASSIS = "/redfish/v1/Chassis"
METRICS = {
    "@odata.type": "#EnvironmentMetrics.v1_3_0.EnvironmentMetrics",
    "PowerWatts": {"DataSourceUri": f"{CHASSIS}/1/Sensors/Power", "Reading": 374.0},
    "EnergykWh": {"DataSourceUri": f"{CHASSIS}/1/Sensors/Energy", "Reading": 325.5},
}
OLDER = {
    "@odata.type": "#Power.v1_5_3.Power",
    "PowerControl": [{"MemberId": "0", "PowerCapacityWatts": 800, "PowerConsumedWatts": 150}],
}


def pages(*names: str, metrics: object = METRICS, power: object = OLDER) -> dict[str, object]:
    """The resources of a service whose chassis have both kinds of power."""
    found: dict[str, object] = {
        CHASSIS: {"Members": [{"@odata.id": f"{CHASSIS}/{n}"} for n in names]}
    }
    for name in names:
        path = f"{CHASSIS}/{name}"
        found[path] = {
            "EnvironmentMetrics": {"@odata.id": f"{path}/EnvironmentMetrics"},
            "Power": {"@odata.id": f"{path}/Power"},
        }
        found[f"{path}/EnvironmentMetrics"], found[f"{path}/Power"] = metrics, power
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key in the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    key, found = folder / "key.pem", folder / "certificate.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=bmc"
    words += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *words.split(), "-keyout", str(key), "-out", str(found)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    with found.open("a") as both:
        both.write(key.read_text())
    return found


@pytest.fixture
def board(certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePlug]:
    """A controller whose certificate is trusted, and whose password is kept."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    kept = tmp_path / "netrc"
    kept.write_text("machine 127.0.0.1 login reader password se:cret")
    monkeypatch.setenv("NETRC", str(kept))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with plugged_in(None, tls) as found:
        found.pages = pages("1")
        found.authorization = "Basic " + base64.b64encode(b"reader:se:cret").decode()
        yield found


def test_the_energy_of_the_machine_is_read(board: FakePlug) -> None:
    meter = WallMeter(f"redfish:{board.place}", period_s=0.01)
    assert meter.domains() == {"wall:bmc": REDFISH}
    Path(os.environ["NETRC"]).unlink()  # it is read once, not in windows
    with MeterSet({"wall": meter}) as meters, meters.window() as window:
        time.sleep(0.1)
    assert window.reading.watts == pytest.approx(374.0, rel=0.01)
    assert board.asked[:3] == [
        f"GET {CHASSIS}",
        f"GET {CHASSIS}/1",
        f"GET {CHASSIS}/1/EnvironmentMetrics",
    ]
    assert set(board.asked[3:]) == {f"GET {CHASSIS}/1/EnvironmentMetrics"}, "found once"


@pytest.mark.parametrize("metrics", [{}, {"PowerWatts": {"Reading": None}}, {"PowerWatts": None}])
def test_an_older_board_has_its_power_elsewhere(board: FakePlug, metrics: object) -> None:
    board.pages = pages("1", metrics=metrics)
    meter = WallMeter(f"redfish:{board.place}", period_s=0.01)
    with MeterSet({"wall": meter}) as meters, meters.window() as window:
        time.sleep(0.1)
    assert window.reading.watts == pytest.approx(150.0, rel=0.01)


def test_one_of_several_chassis_is_named(board: FakePlug) -> None:
    board.pages = pages("Self", "GPU.1", metrics={})
    with pytest.raises(MeterUnavailable, match=r"the chassis Self, GPU\.1; name one, as HOST/Self"):
        WallMeter(f"redfish:{board.place}")
    with pytest.raises(MeterUnavailable, match=r"it has no GPU\.2 among the chassis Self, GPU\.1"):
        WallMeter(f"redfish:{board.place}/GPU.2")
    WallMeter(f"redfish:{board.place}/GPU.1").close()
    assert board.asked[-1] == f"GET {CHASSIS}/GPU.1/Power"


def test_a_password_is_asked_for_where_none_is_kept(
    board: FakePlug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    says = (
        f"status 401; it asks for a password, which {tmp_path}/none has to say: machine 127.0.0.1"
    )
    with pytest.raises(MeterUnavailable, match=says):
        WallMeter(f"redfish:{board.place}")
    Path(tmp_path, "bad").write_text("machine 127.0.0.1 logon me")
    monkeypatch.setenv("NETRC", str(tmp_path / "bad"))
    with pytest.raises(MeterUnavailable, match="bad cannot be read: bad follower token 'logon'"):
        WallMeter(f"redfish:{board.place}")


def test_a_certificate_that_nobody_signed_is_refused(
    board: FakePlug, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(MeterUnavailable, match=r"certificate is not trusted .*SSL_CERT_FILE"):
        WallMeter(f"redfish:{board.place}")
    assert board.asked == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({CHASSIS: []}, "it lists no chassis; is it a board's controller"),
        ({CHASSIS: {"Members": [{"@odata.id": "https://other/"}, 3]}}, "it lists no chassis"),
        ({CHASSIS: {"Members": [{"@odata.id": "/redfish/../etc"}]}}, "it lists no chassis"),
        ({f"{CHASSIS}/1": {}}, "its chassis has no power"),
        ({f"{CHASSIS}/1": b"<html>"}, "its answer is not JSON"),
        ({f"{CHASSIS}/1/Power": {"PowerControl": []}}, "its answer has no power"),
        ({f"{CHASSIS}/1/Power": {"PowerControl": [{"PowerConsumedWatts": 0}]}}, "it reads 0 W"),
    ],
)
def test_a_service_without_a_power_is_not_opened(
    board: FakePlug, changed: dict[str, object], says: str
) -> None:
    board.pages = pages("1", metrics={}) | changed
    with pytest.raises(MeterUnavailable, match=says) as found:
        WallMeter(f"redfish:{board.place}")
    assert str(found.value).startswith(f"https://{board.place}/redfish/v1/Chassis")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (METRICS, Sample(374.0, 325.5 * 3.6e6)),
        (METRICS | {"EnergykWh": {"Reading": None}}, Sample(374.0, None)),
        (OLDER, Sample(150.0, None)),
    ],
)
def test_power_and_count(answer: dict[str, Any], expected: Sample) -> None:
    assert sample(answer) == expected


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([], "no power"),
        ({"PowerWatts": {"Reading": "374"}}, "its power is '374', not watts"),
        ({"PowerControl": {"PowerConsumedWatts": 3}}, "no power"),
        ({"PowerControl": [{"PowerConsumedWatts": -3}]}, "its power is -3"),
    ],
)
def test_nonsense_is_named(answer: object, says: str) -> None:
    with pytest.raises(NotAnAnswer, match=says):
        sample(answer)
