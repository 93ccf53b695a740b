import time
from collections.abc import Callable
from pathlib import Path

import pytest

from energybench.energy.meters.base import MeterAbsent, MeterUnavailable
from energybench.energy.meters.ipmi import IpmiMeter
from energybench.energy.source import IPMI
from energybench.energy.windows import MeterSet

PRINTED = """
    Instantaneous power reading:                   220 Watts
    Minimum during sampling period:                 18 Watts
    Maximum during sampling period:                475 Watts
    Average power reading over sample period:      213 Watts
    IPMI timestamp:                           11/28/26 01:30:00 UTC
    Sampling period:                          00000001 Seconds.
    Power reading state is:                   activated

"""
"""As `lib/ipmi_dcmi.c` of ipmitool 1.8.19 prints it."""

Program = Callable[[str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put an ipmitool on the path that runs lines of a shell."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(lines: str) -> Path:
        file = tmp_path / "ipmitool"
        file.with_suffix(".new").write_text(f"#!/bin/sh\n{lines}\n")
        file.with_suffix(".new").chmod(0o755)
        file.with_suffix(".new").rename(file)
        return file

    return write


def printing(text: str) -> str:
    return f"cat <<'END'\n{text}\nEND"


def test_the_power_of_the_machine_is_read(program: Program, tmp_path: Path) -> None:
    program(f'echo "$@" > {tmp_path}/asked\n{printing(PRINTED)}')
    meter = IpmiMeter(period_s=0.01)
    assert meter.domains() == {"wall:bmc": IPMI}
    with MeterSet({"ipmi": meter}) as meters, meters.window() as window:
        time.sleep(0.05)
    assert window.reading.watts == pytest.approx(220.0, rel=0.01)
    assert window.reading.background_cpu_s >= 0.0
    assert (tmp_path / "asked").read_text() == "dcmi power reading\n"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("echo 'Could not open device at /dev/ipmi0' >&2; exit 1", "no power: Could not open dev"),
        ("exit 3", "tells no power: it ended with status 3"),
        ("echo Nonsense", "tells no power: it ended with status 0"),
        ("printf 'a\\033[31mb\\nc' >&2; exit 1", r"tells no power: a\[31mb$"),
        (printing(PRINTED.replace("activated", "deactivated")), "power reading is deactivated"),
        (printing(PRINTED.replace(" 220 W", "   0 W")), "0 W: this controller measures no power"),
        ("exec sleep 20", "took over|no answer within 2 s"),
    ],
)
def test_one_that_tells_no_power_is_not_opened(program: Program, lines: str, says: str) -> None:
    program(lines)
    began = time.perf_counter()
    with pytest.raises(MeterUnavailable, match=says):
        IpmiMeter()
    assert time.perf_counter() - began < 4.0


def test_a_controller_that_stops_answering_costs_the_energy_with_the_reason(
    program: Program,
) -> None:
    program(printing(PRINTED))
    meter = IpmiMeter(period_s=0.01, silence_s=0.2)
    try:
        program("echo busy >&2; exit 1")
        time.sleep(0.4)
        with pytest.raises(MeterUnavailable, match=r"no answer for 0\.2 s: ipmitool tells no p"):
            meter.read_joules()
    finally:
        meter.close()


def test_without_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeterAbsent, match="ipmitool is not installed"):
        IpmiMeter()
