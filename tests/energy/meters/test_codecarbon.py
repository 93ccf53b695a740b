"""The real CodeCarbon, without network."""

import os
import pwd
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from energybench.energy.meters.base import MeterContext, MeterUnavailable
from energybench.energy.meters.codecarbon import CodeCarbonMeter, _assumptions
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


def test_a_user_without_a_home_gets_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for home in (None, ""):
        monkeypatch.delenv("HOME", raising=False)
        if home is not None:
            monkeypatch.setenv("HOME", home)
        with closing(CodeCarbonMeter()) as meter:
            assert meter.domains()
        assert os.environ.get("HOME") == home


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


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_a_configuration_that_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ".codecarbon.config"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    says = r"\.codecarbon\.config: it is not a file; remove it"
    with pytest.raises(MeterUnavailable, match=says):
        CodeCarbonMeter()


@pytest.mark.parametrize("watts", ["-5", "nan", "1e300"])
def test_watts_in_the_configuration_that_are_none_are_refused(tmp_path: Path, watts: str) -> None:
    (tmp_path / ".codecarbon.config").write_text(f"[codecarbon]\nforce_ram_power = {watts}\n")
    with pytest.raises(MeterUnavailable, match=r"force_ram_power is .*; it must be watts, 0 to"):
        CodeCarbonMeter()


def test_a_configuration_in_the_home_folder_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".codecarbon.config").write_text("nonsense\n")
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(MeterUnavailable, match=r"cannot read .*/home/\.codecarbon\.config: "):
        CodeCarbonMeter()


LOOKED_UP = "codecarbon.core.hardware_cache._tdp"


@pytest.fixture
def no_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which CodeCarbon finds no counters of its own."""
    setup = "codecarbon.core.resource_tracker.ResourceTracker._try_platform_cpu_backend"
    monkeypatch.setattr(setup, lambda self: False)


@pytest.fixture
def unknown(no_counters: None, monkeypatch: pytest.MonkeyPatch) -> int:
    """A processor that the table lacks; returns its threads."""
    threads = psutil.cpu_count() or 1
    monkeypatch.setattr("codecarbon.emissions_tracker.count_physical_cpus", lambda: 1)
    table = SimpleNamespace(
        model="Abacus", tdp=4 * threads, _get_cpu_power_from_registry=lambda model: None
    )
    monkeypatch.setattr(LOOKED_UP, table)
    return threads


def test_it_says_that_its_watts_are_a_fallback(unknown: int) -> None:
    with closing(CodeCarbonMeter()) as meter:
        found = meter.assumptions()
        assert found.ram_watts == watts_of(meter)
    assert found.estimator.startswith("codecarbon 3.")
    assert (found.processor, found.processor_known) == ("Abacus", False)
    assert (found.cpu_watts, found.cpu_threads, found.watts_per_thread) == (
        4.0 * unknown,
        unknown,
        4.0,
    )
    assert (found.mode, found.declared) == ("cpu_load", ())


def test_it_says_that_its_watts_are_the_tables(
    no_counters: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = SimpleNamespace(
        model="AMD EPYC 7763", tdp=280.0, _get_cpu_power_from_registry=lambda model: 280.0
    )
    monkeypatch.setattr(LOOKED_UP, table)
    with closing(CodeCarbonMeter(skip={"dram"})) as meter:
        found = meter.assumptions()
    assert (found.processor, found.processor_known) == ("AMD EPYC 7763", True)
    assert found.cpu_watts is not None
    assert found.cpu_watts % 280.0 == 0, "once per socket"
    assert (found.cpu_threads, found.ram_watts) == (None, None)


def test_declared_watts_follow_the_load_and_have_a_source_of_their_own(
    unknown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = "codecarbon.external.hardware.SystemCPULoadMeter.percent"
    monkeypatch.setattr(load, lambda self: 50.0)
    context = MeterContext(cpu_watts=1000.0, ram_watts=0.0)
    with closing(CodeCarbonMeter.open(context)) as meter:
        found = meter.assumptions()
        sources = {domain: source.name for domain, source in meter.domains().items()}
        meter.read_joules()
        watts = meter._tracker._cpu_power.W
        assert watts == pytest.approx(1000 * (0.1 + 0.9 * 0.5**3))
        assert watts_of(meter) == 0.0
    assert (found.cpu_watts, found.ram_watts, found.declared) == (1000.0, 0.0, ("cpu", "dram"))
    assert (found.processor_known, found.mode) == (None, "cpu_load")
    assert set(sources.values()) == {"declared_estimate"}
    with closing(CodeCarbonMeter(ram_watts=7.0)) as meter:
        assert {domain: source.name for domain, source in meter.domains().items()} == {
            "cpu:estimate": "codecarbon_estimate",
            "dram:estimate": "declared_estimate",
        }
        assert meter.assumptions().declared == ("dram",)


def test_watts_in_codecarbons_own_configuration_are_declared_too(tmp_path: Path) -> None:
    (tmp_path / ".codecarbon.config").write_text("[codecarbon]\nforce_ram_power = 10\n")
    with closing(CodeCarbonMeter(skip={"cpu"})) as meter:
        assert meter.assumptions().declared == ("dram",)
        assert meter.assumptions().ram_watts == 10.0
        assert meter.assumptions().mode is None


def test_counters_that_codecarbon_reads_by_itself_are_named() -> None:
    from codecarbon.external.hardware import CPU

    processor = CPU.__new__(CPU)
    processor._mode, processor._model = "intel_rapl", "Xeon"
    tracker = SimpleNamespace(_force_cpu_power=None, _force_ram_power=None, _hardware=[processor])
    found = _assumptions(tracker, ("cpu", "dram"))
    assert (found.mode, found.processor, found.cpu_watts) == ("intel_rapl", "Xeon", None)
    assert (found.processor_known, found.ram_watts) == (None, None)
