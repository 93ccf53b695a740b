from pathlib import Path

import pytest

from energybench.energy import lock_folder as module
from energybench.energy.lock_folder import is_private, lock_folder, mount_of
from energybench.errors import UsageError

LINE = "{number} 1 8:1 {root} {point} rw,relatime shared:1 - {kind} /dev/sda1 rw\n"


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list of mounts that the module reads, with a root file system in it."""
    file = tmp_path / "mountinfo"
    file.write_text(LINE.format(number=1, root="/", point="/", kind="ext4"))
    monkeypatch.setattr(module, "MOUNTS", str(file))
    return file


def add(file: Path, point: Path | str, root: str = "/", kind: str = "ext4") -> None:
    with file.open("a") as lines:
        lines.write(LINE.format(number=2, root=root, point=point, kind=kind))


def test_a_folder_of_many_machines_is_refused(
    tmp_path: Path, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "locks"
    monkeypatch.setenv("ENERGYBENCH_LOCKS", str(folder))
    assert lock_folder() == folder
    add(mount, tmp_path, kind="nfs4")
    with pytest.raises(UsageError, match=r"is on a network file system \(nfs4\).*own disk"):
        lock_folder()
    add(mount, folder, kind="tmpfs")
    assert lock_folder() == folder, "the mount that is nearest decides"


def test_a_jobs_own_tmp_is_left_for_a_folder_of_the_machine(
    tmp_path: Path, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENERGYBENCH_LOCKS", raising=False)
    monkeypatch.setattr(module, "RUN_LOCK", tmp_path)
    assert not is_private(Path("/tmp"))
    assert lock_folder() == Path("/tmp/energybench")
    add(mount, "/tmp", root="/jobs/4711/.4711")
    assert is_private(Path("/tmp"))
    assert lock_folder() == tmp_path / "energybench"
    assert (tmp_path / "energybench").stat().st_mode & 0o7777 == 0o1777


def test_names_with_blanks_and_systems_without_a_list(
    tmp_path: Path, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "two words"
    folder.mkdir()
    add(mount, str(folder).replace(" ", "\\040"), kind="lustre")
    found = mount_of(folder)
    assert found is not None
    assert found.kind == "lustre"
    monkeypatch.setattr(module, "MOUNTS", str(tmp_path / "none"))
    assert mount_of(folder) is None
    assert not is_private(folder)
