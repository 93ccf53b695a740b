"""Benchmarks of energy whose energy is not known: what is said, and whether they fail."""

from pathlib import Path

import pytest
from support.replay import TRACE

METERS = """
import itertools
import math


class Meter:
    min_window_s = 0.0

    def __init__(self):
        self.reads = itertools.count()

    def domains(self):
        return {"cpu:0": "rapl"}

    def read_joules(self):
        return {"cpu:0": self.joules(next(self.reads))}

    def close(self):
        pass


class Raising(Meter):
    def joules(self, read):
        raise OSError("the cable\\nis out")


class NoNumber(Meter):
    def joules(self, read):
        return math.nan


class Backwards(Meter):
    def joules(self, read):
        return 50.0 - read
"""
ENTRY_POINTS = """
[energybench.meters]
raising = broken_meters:Raising
nan = broken_meters:NoNumber
backwards = broken_meters:Backwards
"""
REASONS = {
    "raising": "its meter failed with OSError: the cable is out",
    "nan": "its meter gave nan",
    "backwards": "its meter went backwards, from 50 to 49 J",
}
CALL = """
def test_sum(benchmark, energy):
    energy(benchmark, sum, range(1000))
"""
QUICK = "--benchmark-max-time=0.01"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed package with meters that fail while they are read."""
    root = tmp_path_factory.mktemp("meters")
    (root / "broken_meters.py").write_text(METERS)
    info = root / "broken_meters-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-meters\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return root


@pytest.fixture
def broken(
    session: pytest.Pytester, package: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A folder with a benchmark, and meters to name that cannot be read."""
    monkeypatch.setenv("PYTHONPATH", str(package), prepend=":")
    session.makeini("[pytest]\nenergy_dataset = digits\nenergy_idle = 0\n")
    return session


@pytest.mark.parametrize("meter", REASONS)
def test_a_named_meter_that_fails_fails_the_test_in_one_line(
    broken: pytest.Pytester, meter: str
) -> None:
    broken.makepyfile(test_bench=CALL)
    result = broken.runpytest_subprocess(f"--energy-meter={meter}", QUICK)
    result.assert_outcomes(failed=1)
    reason = f"cpu:0: {REASONS[meter]}"
    result.stdout.fnmatch_lines(
        [f"no energy: {reason}", f"no energy of test_bench.py::test_sum: {reason}"]
    )


def test_a_named_meter_that_fails_fails_its_cell_and_the_record_is_kept(
    broken: pytest.Pytester,
) -> None:
    named = ("--energy-meter=backwards", "--energy-max-epochs=1", "--energy-tolerance=100")
    result = broken.runpytest_subprocess(*named)
    result.assert_outcomes(failed=2)
    reason = f"cpu:0: {REASONS['backwards']}"
    result.stdout.fnmatch_lines(
        [
            f"tiny stego seed 0 has no energy: {reason}",
            f"no energy of tiny * seed 0, tiny * seed 0: {reason}",
        ]
    )
    again = broken.runpytest_subprocess(*named, "--energy-resume", "-oenergy_require=false")
    again.assert_outcomes(passed=2)
    again.stdout.fnmatch_lines([f"no energy of *: {reason}", "resumed from *: 2 cells"])


NOTHING = "-oenergy_meter=auto", "-pno_meters"


@pytest.fixture
def no_meters(session: pytest.Pytester) -> pytest.Pytester:
    """A machine on which only CodeCarbon could estimate, and its configuration is broken."""
    (session.path / "no_meters.py").write_text(
        "from energybench.energy import opening\nopening.AUTO = ('codecarbon',)\n"
    )
    (session.path / ".codecarbon.config").write_text("project_name = x\n")
    session.syspathinsert()
    session.makeini("[pytest]\nenergy_dataset = digits\nenergy_idle = 0\n")
    return session


def test_without_any_meter_the_reason_is_one_line_below_the_table(
    no_meters: pytest.Pytester,
) -> None:
    no_meters.makepyfile(test_calls=CALL)
    result = no_meters.runpytest_subprocess(
        *NOTHING, QUICK, "--energy-max-epochs=1", "--energy-tolerance=100"
    )
    result.assert_outcomes(passed=3)
    reason = (
        f"codecarbon: CodeCarbon cannot read {no_meters.path / '.codecarbon.config'}: "
        "File contains no section headers.*; repair or remove it"
    )
    result.stdout.fnmatch_lines_random(
        [
            f"no meter reads any energy: {reason}",
            f"no energy of tiny baseline seed 0, tiny stego seed 0: {reason}",
            f"no energy of test_calls.py::test_sum: {reason}",
        ]
    )


def test_energy_that_is_required_is_refused_before_any_cell_where_nothing_reads_it(
    no_meters: pytest.Pytester,
) -> None:
    result = no_meters.runpytest_subprocess(*NOTHING, "--energy-require")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: energy is required, and no meter reads any here: codecarbon: CodeCarbon *"]
    )
    no_meters.makepyfile(test_bench=CALL)
    result = no_meters.runpytest_subprocess(*NOTHING, "--energy-require", QUICK)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["no energy: codecarbon: CodeCarbon cannot read *"])


def test_a_meter_that_reads_passes(session: pytest.Pytester) -> None:
    session.makepyfile(test_bench=CALL)
    named = ("--energy-meter=replay", f"--energy-replay={TRACE}", "--energy-require", QUICK)
    result = session.runpytest_subprocess(*named)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("no energy*")
