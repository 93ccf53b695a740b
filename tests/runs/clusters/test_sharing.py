"""Where the folder of a run lies, and who sees it."""

import socket
from pathlib import Path

import pytest

from energybench.energy import lock_folder
from energybench.errors import UsageError
from energybench.runs.clusters.sharing import check_shared

HERE = socket.gethostname()
RUN = Path("/work/run")


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "type[On]":
    On.file = tmp_path / "mounts"
    monkeypatch.setattr(lock_folder, "MOUNTS", str(On.file))
    return On


class On:
    file: Path

    def __init__(self, kind: str) -> None:
        lines = ["21 1 8:1 / / rw - ext4 /dev/sda1 rw", f"22 21 0:5 / /work rw - {kind} source rw"]
        self.file.write_text("\n".join(lines) + "\n")


def test_a_folder_in_memory_is_refused_where_other_machines_run_jobs(on: type[On]) -> None:
    on("tmpfs")
    with pytest.raises(UsageError, match=r"in the memory of this machine \(tmpfs\), where gpu01"):
        check_shared(RUN, [HERE, "gpu02", "gpu01.cluster.example"])
    assert check_shared(RUN, [HERE, f"{HERE.partition('.')[0]}.example"]) is None


def test_a_disk_of_this_machine_is_told(on: type[On]) -> None:
    on("xfs")
    note = check_shared(RUN, ["gpu01"])
    assert note is not None
    assert "/work/run is on a disk of this machine (xfs)" in note
    assert check_shared(RUN, [HERE]) is None


@pytest.mark.parametrize("kind", ["nfs4", "lustre"])
def test_a_network_file_system_is_not_doubted(on: type[On], kind: str) -> None:
    on(kind)
    assert check_shared(RUN, ["gpu01"]) is None


def test_a_system_without_a_list_of_mounts_says_nothing(on: type[On]) -> None:
    assert check_shared(RUN, ["gpu01"]) is None
