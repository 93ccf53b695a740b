"""A GPU has its own power limit again, whatever happens to the session that changed it."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.fake_hardware import A100
from support.waiting import wait_until

from energybench.energy.power_limit import (
    PowerLimits,
    note_path,
    power_limit,
    read_limits,
    restore_left_over,
)
from energybench.errors import UsageError

FAKE = Path(__file__).parents[1] / "support" / "nvml_in_a_file"
LIMITS = PowerLimits("NVIDIA A100", 350.0, 400.0, 100.0, 400.0)
SESSION = f"""
import sys, time
from energybench.energy.power_limit import power_limit
with power_limit("{A100}", 250.0):
    print("limited", flush=True)
    time.sleep(60)
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills processes by signals")


class Gpu:
    """The GPU in the file; its own limit is 350 W, below its default."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(permission=True)

    def write(self, permission: bool) -> None:
        state = {"uuid": A100, "limit": 350_000, "permission": permission}
        self.path.write_text(json.dumps(state))

    @property
    def watts(self) -> float:
        return float(json.loads(self.path.read_text())["limit"]) / 1e3


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gpu:
    monkeypatch.setenv("NVML_IN_A_FILE", str(tmp_path / "gpu.json"))
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAKE), *filter(None, sys.path)]))
    spec = importlib.util.spec_from_file_location("pynvml", FAKE / "pynvml.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return Gpu(tmp_path / "gpu.json")


def session() -> "subprocess.Popen[str]":
    """A process that holds a limit of 250 W."""
    process = subprocess.Popen([sys.executable, "-c", SESSION], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "limited\n"
    return process


def guard_of(pid: int) -> psutil.Process:
    (found,) = psutil.Process(pid).children()
    return found


def test_the_limit_is_there_in_the_block_and_its_own_after_it(gpu: Gpu) -> None:
    assert read_limits(A100) == LIMITS
    with power_limit(A100, 250.0):
        assert gpu.watts == 250.0
        assert note_path(A100).exists()
        with (
            pytest.raises(UsageError, match="another session has changed the power limit"),
            power_limit(A100, 200.0),
        ):
            pass
        assert gpu.watts == 250.0
    assert gpu.watts == 350.0
    assert not note_path(A100).exists()
    with pytest.raises(ZeroDivisionError), power_limit(A100, 300.0):
        raise ZeroDivisionError
    assert gpu.watts == 350.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_death_of_the_session_restores_it(gpu: Gpu, number: signal.Signals) -> None:
    process = session()
    assert gpu.watts == 250.0
    process.send_signal(number)
    process.communicate()
    wait_until(lambda: gpu.watts == 350.0 and not note_path(A100).exists(), 20.0)


def test_a_guard_that_was_killed_is_replaced_by_the_session(gpu: Gpu) -> None:
    with power_limit(A100, 250.0):
        for child in psutil.Process().children():
            if "energybench.energy.power_limit_guard" in child.cmdline():
                child.kill()
                child.wait(10.0)
        assert gpu.watts == 250.0
    assert gpu.watts == 350.0


def test_what_both_deaths_left_is_restored_by_the_next_session(gpu: Gpu) -> None:
    process = session()
    guard = guard_of(process.pid)
    guard.suspend()
    process.kill()
    process.communicate()
    guard.kill()
    wait_until(lambda: not guard.is_running() or guard.status() == psutil.STATUS_ZOMBIE, 10.0)
    assert gpu.watts == 250.0
    said: list[str] = []
    restore_left_over(A100, said.append)
    assert gpu.watts == 350.0
    assert said == [
        "the power limit of the GPU is 350 W again: a killed session had left another one"
    ]
    restore_left_over(A100, said.append)
    assert len(said) == 1


def test_without_permission_it_is_one_line_and_nothing_changes(gpu: Gpu) -> None:
    gpu.write(permission=False)
    with pytest.raises(UsageError, match="run as root, or leave out") as caught:
        power_limit(A100, 250.0).__enter__()
    assert "\n" not in str(caught.value)
    assert gpu.watts == 350.0
    assert not note_path(A100).exists()


@pytest.mark.parametrize("watts", [99.0, 401.0, float("nan")])
def test_a_limit_out_of_range_is_refused_before_anything_changes(gpu: Gpu, watts: float) -> None:
    with pytest.raises(UsageError, match="out of the range of this NVIDIA A100: 100 to 400 W"):
        power_limit(A100, watts).__enter__()
    assert gpu.watts == 350.0


def test_limits_in_words() -> None:
    assert LIMITS.of("own") is None
    assert LIMITS.of("250W") == 250.0
    assert LIMITS.of("80%") == 320.0
    assert LIMITS.of("10%") == 100.0, "a share is brought into the range"
    for text in ("250", "W", "120%", "0%", "-5W", ""):
        with pytest.raises(UsageError, match="power limit"):
            LIMITS.of(text)


def test_a_note_that_somebody_else_may_have_written_sets_nothing(gpu: Gpu) -> None:
    note_path(A100).write_text('{"milliwatts": "much"}')
    with pytest.raises(UsageError, match="remove it"):
        restore_left_over(A100, print)
    assert gpu.watts == 350.0


def test_without_a_driver_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(UsageError, match="no power limit can be set: nvidia-ml-py is not"):
        read_limits(A100)
