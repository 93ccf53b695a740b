import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.replay import TRACE
from support.scripts import epochs_of, measured, only

import energybench
from energybench.errors import UsageError
from energybench.records.saved import read_run


def test_a_function_is_measured_at_every_call(tmp_path: Path) -> None:
    runs = []

    @measured("double", save=tmp_path / "run.json")
    def double(value: int) -> int:
        """Twice the value."""
        runs.append(energybench.current_run())
        return 2 * value

    assert (double(3), double(4)) == (6, 8)
    assert double.__doc__ == "Twice the value."
    assert [run.total_joules for run in runs] == [50.0, 50.0]
    first, second = read_run(tmp_path / "run.json")
    assert first.id != second.id, "a call that went before is in the file, too"
    assert {first.model, second.model} == {"double"}


def test_a_function_gives_a_run_without_a_name_its_own(tmp_path: Path) -> None:
    @measured(save=tmp_path / "run.json")
    def fit() -> None:
        pass

    fit()
    assert only(tmp_path / "run.json").model.endswith("fit")


def test_a_function_that_calls_itself_measures_each_call() -> None:
    found: list[float | None] = []

    @measured("countdown")
    def countdown(number: int) -> None:
        run = energybench.current_run()
        if number:
            countdown(number - 1)
        assert energybench.current_run() is run
        found.append(run.total_joules)

    countdown(2)
    assert found == [50.0, 50.0, 50.0]  # each has a meter of its own, which replays


def test_coroutines_that_overlap_have_runs_of_their_own(tmp_path: Path) -> None:
    names = []

    @measured("task", save=tmp_path / "run.json")
    async def task(number: int) -> int:
        own = energybench.current_run()
        own.log(number=number)
        await asyncio.sleep(0.01)
        assert energybench.current_run() is own
        names.append(number)
        return number

    async def both() -> list[int]:
        return list(await asyncio.gather(task(1), task(2)))

    assert asyncio.run(both()) == [1, 2]
    logged = [one.script.logged for one in read_run(tmp_path / "run.json") if one.script]
    assert sorted(one["number"] for one in logged) == [1.0, 2.0]


def test_generators_and_classes_are_refused() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    for generator in (numbers, later):
        with pytest.raises(UsageError, match=r"cannot decorate the generator .*; write `with"):
            measured("numbers")(generator)
    with pytest.raises(UsageError, match="decorates functions"):
        measured("numbers")(Path)


def test_blocks_may_be_nested(tmp_path: Path) -> None:
    with measured("outer", save=tmp_path / "outer.json") as outer:
        with measured("inner", save=tmp_path / "inner.json") as inner:
            assert energybench.current_run() is inner
        assert energybench.current_run() is outer
    assert only(tmp_path / "outer.json").model == "outer"
    assert only(tmp_path / "inner.json").model == "inner"


def test_no_run_is_current_outside_of_any() -> None:
    with pytest.raises(UsageError, match="nothing is measured here"):
        energybench.current_run()
    with measured():
        pass
    with pytest.raises(UsageError, match="nothing is measured here"):
        energybench.current_run()


def test_meters_that_are_named_first_still_count() -> None:
    for meters in ("replay", ["replay"]):
        with pytest.warns(DeprecationWarning, match="is now measure"):
            measuring = energybench.measure(meters, replay=TRACE)
        with measuring as run:
            pass
        assert run.total_joules == 50.0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": " "}, "the name of a run is a text that is not empty"),
        ({"method": ""}, "the method of a run is a text that is not empty"),
        ({"seed": -1}, "seed is -1; give a number"),
        ({"seed": 0.5}, "seed is 0.5; give a whole number"),
        ({"metric": "loss"}, "give an energybench.Metric"),
        ({"save": "run.txt"}, "name a run as run.json, or a journal as journal.jsonl"),
        ({"settings": {"net": object()}}, "settings cannot be saved"),
        ({"settings": {"lr": 1e50}}, "larger than any measurement"),
        ({"pue": 0.5}, "must be at"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_runs(
    options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        measured(**({"name": "net"} | options))


def test_a_block_that_is_saved_needs_a_name(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="needs a name"),
        measured(save=tmp_path / "run.json"),
    ):
        pytest.fail("it ran")


def test_a_meter_that_is_not_there_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="meter nvml is not available"),
        energybench.measure("net", meters=["nvml"], save=tmp_path / "run.json", gpu_uuids=()),
    ):
        pytest.fail("it ran")
    assert not (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ValueError("a\nb"), "failed", "ValueError: a b"),
        (KeyboardInterrupt(), "interrupted", "interrupted (Ctrl-C)"),
        (SystemExit(3), "interrupted", "interrupted (SystemExit: 3)"),
        (SystemExit(0), "ok", None),
    ],
)
def test_what_ends_a_block_is_in_the_record_and_goes_on(
    error: BaseException, status: str, told: str | None, tmp_path: Path
) -> None:
    def train() -> None:
        with measured("net", save=tmp_path / "run.json") as run:
            run.log(epoch=1, loss=0.5)
            raise error

    with pytest.raises(type(error)) as raised:
        train()
    assert raised.value is error
    record = only(tmp_path / "run.json")
    assert (record.status, record.error) == (status, told)
    assert [one.logged for one in epochs_of(record)] == [{"loss": 0.5}]
    assert record.kwh is not None


def test_a_device_that_fails_at_the_end_is_raised_once_the_run_is_saved(tmp_path: Path) -> None:
    waits = iter([None, None, OSError("lost")])

    def wait() -> None:
        error = next(waits)
        if error is not None:
            raise error

    with (
        pytest.raises(OSError, match="lost"),
        measured("net", save=tmp_path / "run.json", synchronize=wait) as run,
    ):
        run.log(epoch=0)
    record = only(tmp_path / "run.json")
    assert (record.status, record.error) == ("failed", "OSError: lost")
    assert record.kwh is not None


def test_an_error_of_the_block_comes_before_one_of_the_meters(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def close(_: object) -> None:
        raise OSError("gone")

    def fail() -> None:
        with measured("net", save=tmp_path / "run.json"):
            raise ValueError("diverged")

    monkeypatch.setattr("energybench.energy.meters.replay.ReplayMeter.close", close)
    with pytest.raises(ValueError, match="diverged"):
        fail()
    assert only(tmp_path / "run.json").error == "ValueError: diverged"


SLEEPS = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
import energybench
with energybench.measure("net", meters="replay", replay=sys.argv[1], save=sys.argv[2]) as run:
    with run.phase("train"):
        run.log(epoch=1, loss=0.5)
        print("ready", flush=True)
        time.sleep(60)
"""


def test_ctrl_c_leaves_a_record(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPS, TRACE, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    record = only(path)
    assert (record.status, record.error) == ("interrupted", "interrupted (Ctrl-C)")
    assert record.phases["train"].flags[-1] == "interrupted"
    assert len(epochs_of(record)) == 1


def test_a_script_without_torch_loads_none() -> None:
    code = (
        "import sys, energybench\n"
        f"with energybench.measure('net', meters='replay', replay={TRACE!r}) as run:\n"
        "    run.log(epoch=1, loss=0.5)\n"
        "run.record\n"
        "print(sorted({'torch', 'pytest', 'mlflow', 'wandb'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
