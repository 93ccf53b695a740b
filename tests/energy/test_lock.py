import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest
from support.locks import HOLD, end, start_holder

from energybench.energy import lock
from energybench.energy.lock import InUse, exclusive_use, resources
from energybench.energy.lock_folder import lock_folder
from energybench.errors import UsageError


class Hold(Protocol):
    def __call__(self, resource: str = "cpu") -> subprocess.Popen[str]: ...


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def hold(folder: Path) -> Iterator[Hold]:
    """Start a process that holds the lock until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def start(resource: str = "cpu") -> subprocess.Popen[str]:
        started.append(start_holder(resource, folder))
        return started[-1]

    yield start
    for process in started:
        end(process)


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
    (folder / "cpu.lock").write_text("")
    with (
        pytest.raises(InUse, match="process unknown"),
        exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder),
    ):
        pass


def test_the_error_names_no_option_of_a_command_line(folder: Path, hold: Hold) -> None:
    hold()
    with (
        pytest.raises(InUse, match=r"let it end first, or wait for it$"),
        exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder),
    ):
        pass


def test_one_process_may_hold_a_lock_twice_and_frees_it_at_the_outer_end(
    folder: Path, hold: Hold
) -> None:
    def inner() -> None:
        with exclusive_use(["cpu", "gpu:1"], wait=False, say=pytest.fail, folder=folder):
            pass

    with exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder):
        inner()
        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()
        hold("gpu:1")  # free again
        refused = subprocess.run(
            [sys.executable, "-c", HOLD, "cpu", str(folder)], capture_output=True, text=True
        )
        assert f"(process {os.getpid()})" in refused.stderr
    hold()


def test_a_process_does_not_wait_for_the_one_that_started_it(folder: Path, hold: Hold) -> None:
    waiting = HOLD.replace("wait=False", "wait=True")
    with exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder):
        started = subprocess.run(
            [sys.executable, "-c", waiting, "cpu", str(folder)],
            input="",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert started.stdout == "held\n"
    hold()  # what it left behind keeps nobody out


def test_two_names_of_one_folder_are_one_lock(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "link").symlink_to("locks")
    with (
        exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=tmp_path / "locks"),
        exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=tmp_path / "link"),
    ):
        held = [path.name for path in (tmp_path / "locks").iterdir()]
    assert held == ["cpu.lock"]


@pytest.mark.parametrize("kind", ["fifo", "symlink", "hard link"])
def test_what_somebody_put_in_a_locks_place_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path, victim = tmp_path / "cpu.lock", tmp_path / "precious"
    victim.write_text("precious")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to(victim)
    else:
        path.hardlink_to(victim)
    with (
        pytest.raises(UsageError, match=r"cpu\.lock: it is not a plain file; remove it"),
        exclusive_use(["cpu"], wait=True, say=pytest.fail, folder=tmp_path),
    ):
        pass
    assert victim.read_text() == "precious"


def test_a_fifo_among_the_locks_keeps_nobody_waiting(folder: Path, hold: Hold) -> None:
    hold()
    os.mkfifo(folder / "other")
    (folder / "other").replace(folder / "cpu.lock")
    assert lock._holder(folder / "cpu.lock") == "process unknown"


def test_a_lock_whose_file_was_replaced_meanwhile_is_taken_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, hold: Hold
) -> None:
    opened, path = lock._opened, folder / "cpu.lock"
    descriptors = []

    def replaced_once(path: Path) -> int:
        descriptors.append(opened(path))
        if len(descriptors) == 1:
            path.unlink()
        return descriptors[-1]

    monkeypatch.setattr(lock, "_opened", replaced_once)
    with exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder):
        assert len(descriptors) == 2
        assert path.read_text() == str(os.getpid())


def test_without_flock_another_library_locks(
    folder: Path, monkeypatch: pytest.MonkeyPatch, hold: Hold
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    with exclusive_use(["cpu"], wait=False, say=pytest.fail, folder=folder):
        pass
    hold()
    with (
        pytest.raises(InUse),
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
        hold("gpu:34cd")
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
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert (folder / "cpu.lock").stat().st_mode & 0o777 == 0o666
    assert int((folder / "cpu.lock").read_text()) == os.getpid()


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can be two users")
def test_two_users_share_the_folder_and_neither_can_remove_the_others_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    root.chmod(0o1777)
    folder = root / "locks"
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(folder))

    def hold(inside: Callable[[], None] = lambda: None) -> str:
        try:
            with exclusive_use(["cpu"], wait=False, say=print):
                inside()
        except UsageError as error:
            return str(error)
        return "held"

    def remove() -> str:
        with suppress(PermissionError):
            (folder / "cpu.lock").unlink()
            return "removed"
        return "kept"

    try:
        assert as_user(1001, hold) == "held"
        assert as_user(1002, hold) == "held"
        assert as_user(1002, remove) == "kept"
        told: list[str] = []
        assert hold(lambda: told.append(as_user(1002, hold))) == "held"
        assert f"runs on this machine's cpu (process {os.getpid()})" in told[0]
    finally:
        shutil.rmtree(root)


def as_user(uid: int, act: Callable[[], str]) -> str:
    """What `act` returns in a process of the user `uid`, with the strictest umask."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.umask(0o077)
            lock._held.clear()
            os.write(writing, act().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.parametrize("owned", [True, False])
def test_a_folder_where_anyone_may_remove_locks_is_mended_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owned: bool
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path))
    if owned:
        assert lock_folder() == tmp_path
        assert tmp_path.stat().st_mode & 0o7777 == 0o1777
    else:
        monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
        with pytest.raises(UsageError, match=r"lacks the sticky bit; let its owner chmod \+t it"):
            lock_folder()


def test_a_folder_that_is_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locks").touch()
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path / "locks"))
    with pytest.raises(UsageError, match=r"is not a folder.*ENERGYBENCH_LOCKS"):
        lock_folder()


def test_a_private_folder_stays_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(tmp_path))
    lock_folder()
    assert tmp_path.stat().st_mode & 0o7777 == 0o700


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
        folders.add(lock_folder())
    assert len(folders) == 1
