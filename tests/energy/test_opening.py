"""Which meters are opened, by name and by `auto`."""

import time
from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from support.fake_hardware import FakeMeter
from support.locks import holding
from support.replay import TRACE

from energybench.energy.lock import InUse
from energybench.energy.meters.base import MeterAbsent, MeterContext, MeterUnavailable
from energybench.energy.opening import open_for_use, open_meters, opening_order
from energybench.energy.windows import MeterSet
from energybench.errors import UsageError
from energybench.registry import METERS


def register(monkeypatch: pytest.MonkeyPatch, **targets: Any) -> None:
    """Make the registry answer with `targets`."""
    get = METERS.get
    points = {name: EntryPoint(name, "somewhere:Meter", "energybench.meters") for name in targets}
    monkeypatch.setattr(METERS, "_targets", {**METERS._targets, **points})
    monkeypatch.setattr(METERS, "get", lambda name: targets.get(name) or get(name))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend meters: a GPU counter that wants GPUs, package counters, and an estimate."""
    opened: dict[str, Any] = {}

    class Nvml:
        @staticmethod
        def open(context: Any) -> Any:
            if not context.gpu_uuids:
                raise MeterUnavailable("no GPU in use")
            return opened.setdefault("nvml", FakeMeter({"gpu:0": 0.0}, source="nvml_counter"))

    class Rapl:
        @staticmethod
        def open(context: Any) -> Any:
            return opened.setdefault("rapl", FakeMeter({"cpu:0": 0.0}, source="rapl"))

    class Estimate:
        fallback = True

        @staticmethod
        def open(context: Any) -> Any:
            kinds = [kind for kind in ("cpu", "dram") if kind not in context.kinds_read]
            joules = {f"{kind}:estimate": 0.0 for kind in kinds}
            return opened.setdefault("codecarbon", FakeMeter(joules, source="estimate"))

    class Zeus:
        fallback = True

        @staticmethod
        def open(context: Any) -> Any:
            raise MeterUnavailable("Zeus is not installed")

    register(monkeypatch, nvml=Nvml, rapl=Rapl, zeus=Zeus, codecarbon=Estimate)
    return opened


def sources(meters: MeterSet) -> dict[str, str]:
    with meters, meters.window() as window:
        pass
    return window.reading.sources


def test_auto_takes_the_best_source_for_each_kind(machine: Any) -> None:
    assert sources(open_meters(["auto"], MeterContext(gpu_uuids=("GPU-1",)))) == {
        "gpu:0": "nvml_counter",
        "cpu:0": "rapl",
        "dram:estimate": "estimate",
    }
    assert [meter.closed for meter in machine.values()] == [1, 1, 1]


def test_what_the_user_has_told_of_comes_first_and_must_be_there(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wall:
        @staticmethod
        def open(context: Any) -> Any:
            if context.wall_meter == "shelly:off":
                raise MeterUnavailable("it cannot be reached")
            assert not context.kinds_read, "it is opened first"
            return FakeMeter({"wall:plug": 0.0}, source="shelly")

    register(monkeypatch, wall=Wall)
    assert opening_order(["codecarbon", "rapl"], ["wall"]) == ["wall", "rapl", "codecarbon"]
    for names in (["auto"], ["rapl"], ["rapl", "wall"]):
        found = sources(open_meters(names, MeterContext(wall_meter="shelly:plug")))
        assert list(found)[:2] == ["wall:plug", "cpu:0"]
    with pytest.raises(UsageError, match="meter wall is not available: it cannot be reached"):
        open_meters(["auto"], MeterContext(wall_meter="shelly:off"))


def test_auto_does_not_mention_what_the_machine_does_not_have(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise MeterAbsent("no such board")

    register(monkeypatch, perf=absent)
    assert "perf" not in open_meters(["auto"]).unavailable
    with pytest.raises(UsageError, match="meter perf is not available: no such board"):
        open_meters(["perf"])


def test_auto_goes_on_without_what_is_not_there(machine: Any) -> None:
    meters = open_meters(["auto"])
    assert meters.unavailable == {"nvml": "no GPU in use", "zeus": "Zeus is not installed"}
    assert sources(meters) == {"cpu:0": "rapl", "dram:estimate": "estimate"}


def test_an_estimate_reads_only_what_others_leave_in_whatever_order(machine: Any) -> None:
    meters = open_meters(["codecarbon", "rapl", "rapl"])
    assert sources(meters) == {"cpu:0": "rapl", "dram:estimate": "estimate"}


def test_a_named_meter_that_is_not_there_is_an_error_and_the_others_are_closed(
    machine: Any,
) -> None:
    with pytest.raises(UsageError, match="meter nvml is not available: no GPU in use"):
        open_meters(["rapl", "nvml"])
    assert machine["rapl"].closed == 1


def test_a_meter_of_another_package_is_made_without_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wall(FakeMeter):
        def __init__(self) -> None:
            super().__init__({"wall:0": 0.0}, source="wall")

    register(monkeypatch, wall=Wall)
    assert sources(open_meters(["wall", "replay"], MeterContext(replay=TRACE))) == {
        "wall:0": "wall",
        "cpu:0": "replay",
    }
    assert "wall" not in sources(open_meters(["auto"])), "auto never adds what may overlap"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "no meter is named"),
        (["auto", "rapl"], "name it alone"),
        (["rpl"], "unknown meter 'rpl'; did you mean rapl"),
    ],
)
def test_wrong_names(names: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_meters(names)


def test_a_meter_that_fails_while_it_is_opened_is_one_line_and_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = FakeMeter({"wall:0": 0.0}, source=3)  # type: ignore[arg-type]

    def broken() -> FakeMeter:
        raise ZeroDivisionError("no plug")

    register(monkeypatch, wall=lambda: made, broken=broken)
    with pytest.raises(UsageError, match=r"meter wall is not available: .*3 is not a source"):
        open_meters(["wall"])
    assert made.closed == 1
    with pytest.raises(UsageError, match="not available: it fails with ZeroDivisionError: no plug"):
        open_meters(["broken"])


def test_meters_opened_for_use_are_held_and_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path))
    made = FakeMeter({"gpu:1": 0.0})
    register(monkeypatch, card=lambda: made)

    def use(trains_on_cpu: bool) -> AbstractContextManager[MeterSet]:
        return open_for_use(["card"], MeterContext(), False, pytest.fail, trains_on_cpu)

    with use(trains_on_cpu=False) as meters:
        assert list(meters.sources) == ["gpu:1"]
        assert [path.name for path in tmp_path.iterdir()] == ["gpu-1.lock"]
        assert made.closed == 0
    assert made.closed == 1
    with holding("cpu", tmp_path), use(trains_on_cpu=False):
        pass
    with holding("cpu", tmp_path), pytest.raises(InUse), use(trains_on_cpu=True):
        pass
    assert made.closed == 3, "also where the lock was refused"


def test_a_trace_is_played_by_the_replay_meter_only(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    trace.write_text('{"watts": {"gpu:0": 3}}')
    context = MeterContext(replay=str(trace))
    with open_meters(["replay"], context) as meters, meters.window() as window:
        pass
    assert window.reading.joules == {"gpu:0": 3.0}
    with pytest.raises(UsageError, match="name that meter too"):
        open_meters(["auto"], context)


def test_auto_on_this_machine() -> None:
    with open_meters(["auto"]) as meters:
        assert meters.unavailable["nvml"] == "no GPU in use"
        with meters.window() as window:
            time.sleep(0.05)
    reading = window.reading
    assert {domain.partition(":")[0] for domain in reading.joules} == {"cpu", "dram"}
    assert all(value is not None and value > 0 for value in reading.joules.values())
    assert "short_window" in reading.flags
