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

from energybench.errors import UsageError
from energybench.lock import exclusive_use

HOLD = """
import sys
from pathlib import Path
from energybench.lock import exclusive_use

with exclusive_use(wait=False, say=print, path=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

Hold = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "machine.lock"


@pytest.fixture
def hold(path: Path) -> Iterator[Hold]:
    """Start a process that holds the lock until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
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


def test_a_second_process_is_refused_in_one_line(path: Path, hold: Hold) -> None:
    holder = hold()
    for _ in range(2):  # the refused leave the holder's name as it is
        with (
            pytest.raises(UsageError) as caught,
            exclusive_use(wait=False, say=pytest.fail, path=path),
        ):
            pass
        assert f"process {holder.pid}" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_second_process_waits_asleep(path: Path, hold: Hold) -> None:
    holder = hold()
    assert holder.stdin is not None
    threading.Timer(0.5, holder.stdin.close).start()
    said: list[str] = []
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    with exclusive_use(wait=True, say=said.append, path=path):
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        assert holder.wait(10) == 0
    assert wall_s > 0.4
    assert cpu_s < 0.2 * wall_s
    (line,) = said
    assert f"process {holder.pid}" in line
    assert "waiting" in line


def test_a_killed_holder_lets_go(path: Path, hold: Hold) -> None:
    holder = hold()
    holder.send_signal(signal.SIGKILL)
    assert holder.wait() == -signal.SIGKILL
    with exclusive_use(wait=False, say=pytest.fail, path=path):
        pass


def test_it_is_released_after_an_error(path: Path, hold: Hold) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        exclusive_use(wait=False, say=pytest.fail, path=path),
    ):
        _ = 1 / 0
    hold()


def test_an_unknown_holder(path: Path, hold: Hold) -> None:
    hold()
    path.with_suffix(".pid").unlink()
    with (
        pytest.raises(UsageError, match="process unknown"),
        exclusive_use(wait=False, say=pytest.fail, path=path),
    ):
        pass


def test_a_path_that_cannot_be_locked(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="cannot lock"),
        exclusive_use(wait=False, say=pytest.fail, path=tmp_path),
    ):
        pass


def test_the_default_lock_is_open_to_every_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mask = os.umask(0o077)
    try:
        for _ in range(2):
            with exclusive_use(wait=False, say=pytest.fail):
                pass
    finally:
        os.umask(mask)
    folder = tmp_path / "energybench"
    assert folder.stat().st_mode & 0o1777 == 0o777
    assert (folder / "measuring.lock").stat().st_mode & 0o777 == 0o666
    assert int((folder / "measuring.pid").read_text()) == os.getpid()


def test_a_temporary_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with (
        pytest.raises(UsageError, match=r"cannot make .*missing/energybench"),
        exclusive_use(wait=False, say=pytest.fail),
    ):
        pass
