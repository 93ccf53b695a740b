import ctypes
import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.fake_hardware import FakePmu

from energybench.energy.meters import perf
from energybench.energy.meters.base import MeterAbsent, MeterContext, MeterUnavailable
from energybench.energy.meters.perf import PerfMeter, _Attributes, _processors
from energybench.energy.opening import open_meters
from energybench.energy.source import PERF

JOULES = "2.3283064365386962890625e-10"
"""The scale of all energy events, 2^-32 (`arch/x86/events/rapl.c`)."""


@pytest.fixture
def pmu(tmp_path: Path) -> FakePmu:
    """Two packages, with their memory."""
    fake = FakePmu(tmp_path / "power")
    fake.describe(
        18,
        "0,28",
        energy_pkg=("event=0x02", JOULES),
        energy_ram=("event=0x03", JOULES),
        energy_cores=("event=0x01", JOULES),
        energy_psys=("event=0x05", JOULES),
    )
    return fake


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[tuple[int, int], Path]:
    """Let the system call open files: (event, processor) -> the file with its 8 bytes."""
    files: dict[tuple[int, int], Path] = {}

    def opened(kind: int, config: int, processor: int) -> int:
        assert kind == 18
        file = files[config, processor] = tmp_path / f"{config}-{processor}"
        file.write_bytes(bytes(8))
        return os.open(file, os.O_RDONLY)

    monkeypatch.setattr(perf, "_opened", opened)
    own = {**vars(os), "read": lambda descriptor, size: os.pread(descriptor, size, 0)}
    monkeypatch.setattr("energybench.energy.meters.perf.os", SimpleNamespace(**own))
    return files


def test_packages_and_their_memory_count(pmu: FakePmu, counts: dict[tuple[int, int], Path]) -> None:
    meter = PerfMeter(str(pmu.root))
    assert meter.domains() == dict.fromkeys(["cpu:0", "cpu:1", "dram:0", "dram:1"], PERF)
    assert counts.keys() == {(2, 0), (2, 28), (3, 0), (3, 28)}
    counts[2, 28].write_bytes((5 * 2**32 + 2**31).to_bytes(8, "little"))
    assert meter.read_joules() == {"cpu:0": 0, "cpu:1": 5.5, "dram:0": 0, "dram:1": 0}
    meter.close()
    meter.close()
    assert "it was closed" in str(meter.read_joules()["cpu:1"])


def test_the_system_call_counts_what_any_kernel_can_count(tmp_path: Path) -> None:
    """The clock of processor 0 in nanoseconds is a software event, so it is everywhere."""
    fake = FakePmu(tmp_path)
    fake.describe(1, "0", energy_pkg=("event=0x00", "1e-9"))  # PERF_TYPE_SOFTWARE, CPU_CLOCK
    try:
        meter = PerfMeter(str(tmp_path))
    except MeterUnavailable as error:  # a container may forbid it, and then it says what to do
        assert "kernel.perf_event_paranoid=0" in str(error)  # noqa: PT017
        return
    before = meter.read_joules()["cpu:0"]
    time.sleep(0.1)
    after = meter.read_joules()["cpu:0"]
    meter.close()
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert 0.09 < after - before < 5.0


def test_an_event_that_the_kernel_does_not_have_is_named(tmp_path: Path) -> None:
    fake = FakePmu(tmp_path)
    fake.describe(1, "0", energy_pkg=("event=0xffff", "1e-9"))
    with pytest.raises(MeterUnavailable, match=r"perf cannot open|not permitted"):
        PerfMeter(str(tmp_path))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (errno.EACCES, "sudo sysctl kernel.perf_event_paranoid=0"),
        (errno.EPERM, "sudo sysctl kernel.perf_event_paranoid=0"),
        (errno.ENODEV, "perf cannot open its energy events: No such device"),
    ],
)
def test_a_refusal_says_what_to_do(
    pmu: FakePmu, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    monkeypatch.setattr("energybench.energy.meters.perf.ctypes.get_errno", lambda: code)
    monkeypatch.setattr(perf, "_CALLS", dict.fromkeys(perf._CALLS, 100_000))  # no such call
    with pytest.raises(MeterUnavailable, match=says):
        PerfMeter(str(pmu.root))


def test_an_unknown_machine(pmu: FakePmu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("energybench.energy.meters.perf.platform.machine", lambda: "vax")
    with pytest.raises(MeterUnavailable, match="not known on vax"):
        PerfMeter(str(pmu.root))


@pytest.mark.parametrize(
    ("cpumask", "code"), [("a,b", "event=0x02"), ("0", "event=two"), ("0", "what")]
)
def test_files_that_make_no_sense(tmp_path: Path, cpumask: str, code: str) -> None:
    FakePmu(tmp_path).describe(1, cpumask, energy_pkg=(code, JOULES))
    with pytest.raises(
        MeterUnavailable, match=r"cpumask is 'a,b'|cannot read the event energy-pkg"
    ):
        PerfMeter(str(tmp_path))


def test_lists_of_processors() -> None:
    assert _processors("0,28") == [0, 28]
    assert _processors("0-2,5") == [0, 1, 2, 5]
    assert _processors("") == []


def test_the_attributes_have_the_size_of_their_first_version() -> None:
    assert ctypes.sizeof(_Attributes) == 64


def test_it_is_absent_where_there_is_none_or_another_meter_reads(tmp_path: Path) -> None:
    with pytest.raises(MeterAbsent, match="no energy events of perf"):
        PerfMeter(str(tmp_path))
    with pytest.raises(MeterAbsent, match="another meter reads the processor"):
        PerfMeter.open(MeterContext(kinds_read=frozenset({"cpu"})))


def test_auto_falls_back_on_it_where_rapls_files_may_not_be_read(
    no_counters: None,
    pmu: FakePmu,
    counts: dict[tuple[int, int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PerfMeter.__init__, "__defaults__", (str(pmu.root),))
    with open_meters(["auto"]) as meters:
        assert meters.source_names["cpu:0"] == "perf"
        assert "codecarbon" in meters.unavailable, "nothing is left to estimate"
