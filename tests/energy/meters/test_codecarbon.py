"""The real CodeCarbon, without network."""

import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from energybench.energy.meters.base import MeterUnavailable
from energybench.energy.meters.codecarbon import CodeCarbonMeter
from energybench.energy.opening import open_meters


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, with every connection refused."""

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"tried to connect: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def meter() -> Iterator[CodeCarbonMeter]:
    meter = CodeCarbonMeter()
    yield meter
    meter.close()


def test_joules_grow_with_time_however_often_they_are_read(meter: CodeCarbonMeter) -> None:
    other = CodeCarbonMeter()
    start_s, start = time.perf_counter(), meter.read_joules()
    other_start = other.read_joules()
    for gap_s in (0.01, 0.02, 0.03, 0.3, 0.2, 0.1, 1.2):
        time.sleep(gap_s)
        joules = meter.read_joules()["dram:estimate"] - start["dram:estimate"]
        watts = joules / (time.perf_counter() - start_s)
        if gap_s >= 0.1:
            assert watts == pytest.approx(watts_of(meter), rel=0.3)
    read_seldom, read_often = other.read_joules(), meter.read_joules()
    other.close()
    once = read_seldom["dram:estimate"] - other_start["dram:estimate"]
    assert read_often["dram:estimate"] - start["dram:estimate"] == pytest.approx(once, rel=0.1)
    assert read_often["cpu:estimate"] > start["cpu:estimate"]


def watts_of(meter: CodeCarbonMeter) -> float:
    """The power that CodeCarbon reports for the memory; its model has it constant."""
    return float(meter._tracker._ram_power.W)


def test_a_kind_that_is_read_better_is_skipped() -> None:
    meter = CodeCarbonMeter(skip={"gpu", "cpu"})
    assert list(meter.domains()) == list(meter.read_joules()) == ["dram:estimate"]
    meter.close()
    with pytest.raises(MeterUnavailable, match="other meters read all"):
        CodeCarbonMeter(skip={"cpu", "dram"})


def test_it_leaves_nothing_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nsave_to_file = true\noutput_dir = nowhere\nemissions_endpoint = http://x\n"
        "allow_multiple_runs = false\nlog_level = debug\npue = 3\nforce_ram_power = 10\n"
    )
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        meter = CodeCarbonMeter()
        meter.read_joules()
        assert watts_of(meter) == 10, "what the user says of the hardware holds, the rest does not"
        meter.close()
        meter.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads, "an earlier test's may have ended meanwhile"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert not Path(tempfile.gettempdir(), ".codecarbon.lock").exists()
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]
    assert capfd.readouterr() == ("", "")


def test_after_closing_it_is_unavailable(meter: CodeCarbonMeter) -> None:
    meter.close()
    with pytest.raises(MeterUnavailable, match="gives no estimate"):
        meter.read_joules()


def test_a_failing_codecarbon_is_unavailable(
    meter: CodeCarbonMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise OSError("a sensor is gone")

    monkeypatch.setattr("codecarbon.emissions_tracker.BaseEmissionsTracker._do_measurements", fail)
    with pytest.raises(MeterUnavailable, match="gives no estimate"):
        meter.read_joules()
    with pytest.raises(MeterUnavailable, match="gives no estimate"):
        CodeCarbonMeter()


def test_gpus_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(
        "codecarbon.core.resource_tracker.ResourceTracker.set_GPU_tracking", asked.append
    )
    monkeypatch.setattr("codecarbon.core.hardware_cache._plans", {})
    meter = CodeCarbonMeter()
    assert meter.read_joules().keys() == {"cpu:estimate", "dram:estimate"}
    assert asked == []
    meter.close()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(MeterUnavailable, match="CodeCarbon cannot be imported"):
        CodeCarbonMeter()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"project_name = x\n", "contains no section headers"),
        (b"\xef\xbb\xbf[codecarbon]\npue = 1\n", "contains no section headers"),
        ("[codecarbon]\nproject_name = caf\xe9\n".encode("latin-1"), "can't decode byte 0xe9"),
        (b"[codecarbon]\nproject_name = 100%\n", "'%' must be followed by"),
    ],
)
def test_a_configuration_that_codecarbon_cannot_read_is_named(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / ".codecarbon.config"
    path.write_bytes(content)
    with open_meters(["auto"]) as meters:
        reason = meters.unavailable["codecarbon"]
    assert reason.startswith(f"CodeCarbon cannot read {path.resolve()}: ")
    assert says in reason
    assert reason.endswith("repair or remove it")
    assert "\n" not in reason


def test_a_configuration_in_the_home_folder_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".codecarbon.config").write_text("nonsense\n")
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(MeterUnavailable, match=r"cannot read .*/home/\.codecarbon\.config: "):
        CodeCarbonMeter()
