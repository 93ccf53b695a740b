import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from energybench.energy.lock import _shared_folder, exclusive_use, resources
from energybench.errors import UsageError

HOLD = """
import sys
from pathlib import Path
from energybench.energy.lock import exclusive_use

with exclusive_use(["cpu"], wait=False, say=print, folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

Hold = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def hold(folder: Path) -> Iterator[Hold]:
    """Start a process that holds the lock until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def test_a_second_process_is_refused_in_one_line(folder: Path, hold: Hold) -> None:
    holder = hold()
    for _ in range(2):  # the refused leave the holder's name as it is
        with (
            pytest.raises(UsageError) as caught,
            exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder),
        ):
            pass
        assert f"process {holder.pid}" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_second_process_waits_asleep(folder: Path, hold: Hold) -> None:
    holder = hold()
    assert holder.stdin is not None
    threading.Timer(0.5, holder.stdin.close).start()
    said: list[str] = []
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    with exclusive_use(["cpu"], wait=True, say=said.append, folder=folder):
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        assert holder.wait(10) == 0
    assert wall_s > 0.4
    assert cpu_s < 0.2 * wall_s
    (line,) = said
    assert f"process {holder.pid}" in line
    assert "waiting" in line


def test_a_killed_holder_lets_go(folder: Path, hold: Hold) -> None:
    holder = hold()
    holder.send_signal(signal.SIGKILL)
    assert holder.wait() == -signal.SIGKILL
    with exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder):
        pass


def test_it_is_released_after_an_error(folder: Path, hold: Hold) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder),
    ):
        _ = 1 / 0
    hold()


def test_an_unknown_holder(folder: Path, hold: Hold) -> None:
    hold()
    (folder / "cpu.pid").unlink()
    with (
        pytest.raises(UsageError, match="process unknown"),
        exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder),
    ):
        pass


def test_a_path_that_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "cpu.lock").mkdir()
    with (
        pytest.raises(UsageError, match="cannot lock"),
        exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=tmp_path),
    ):
        pass


def test_different_gpus_are_different_resources(folder: Path, hold: Hold) -> None:
    hold()  # the CPU
    gpu = ["gpu:12ab"]
    with exclusive_use(gpu, wait=False, say=pytest.fail, folder=folder):
        with exclusive_use(["gpu:34cd"], wait=False, say=pytest.fail, folder=folder):
            pass
        with (
            pytest.raises(UsageError, match=f"this machine's gpu:12ab .process {os.getpid()}"),
            exclusive_use(gpu, wait=False, say=pytest.fail, folder=folder),
        ):
            pass
    with (
        pytest.raises(UsageError, match="this machine's cpu "),
        exclusive_use(["gpu:12ab", "cpu"], wait=False, say=pytest.fail, folder=folder),
    ):
        pass
    with exclusive_use(gpu, wait=False, say=pytest.fail, folder=folder):
        pass  # the refused one let go of what it had


@pytest.mark.parametrize(
    ("domains", "trains_on_cpu", "expected"),
    [
        (["gpu:b", "gpu:a"], False, ["gpu:a", "gpu:b"]),
        (["gpu:a", "cpu:0", "dram:0"], False, ["cpu", "gpu:a"]),
        (["cpu:0", "cpu:1"], True, ["cpu"]),
        (["wall:plug"], False, ["cpu"]),
        ([], True, ["cpu"]),
    ],
)
def test_what_a_measurement_needs(
    domains: list[str], trains_on_cpu: bool, expected: list[str]
) -> None:
    assert resources(domains, trains_on_cpu) == expected


def test_the_default_lock_is_open_to_every_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "locks"
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(folder))
    mask = os.umask(0o077)
    try:
        for _ in range(2):
            with exclusive_use(["cpu"], wait=False, say=pytest.fail):
                pass
    finally:
        os.umask(mask)
    assert folder.stat().st_mode & 0o1777 == 0o777
    assert (folder / "cpu.lock").stat().st_mode & 0o777 == 0o666
    assert int((folder / "cpu.pid").read_text()) == os.getpid()


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path / "missing" / "locks"))
    with (
        pytest.raises(UsageError, match=r"cannot make .*missing/locks .*ENERGYBENCH_LOCKS"),
        exclusive_use(["cpu"], wait=False, say=pytest.fail),
    ):
        pass


def test_jobs_with_folders_of_their_own_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm gives each job a TMPDIR; the machine is one."""
    monkeypatch.delenv("ENERGYBENCH_LOCKS", raising=False)
    folders = set()
    for job in ("/scratch/job1", "/scratch/job2"):
        monkeypatch.setattr(tempfile, "tempdir", job)
        folders.add(_shared_folder())
    assert len(folders) == 1
