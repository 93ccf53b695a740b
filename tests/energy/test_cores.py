"""The processors that a container, a batch system or another system than Linux leaves to us."""

import os
from pathlib import Path

import pytest

from energybench.energy import cores
from energybench.energy.cores import usable_cores


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The control groups of a machine with 64 processors; nothing is limited yet."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(cores, "CONTROL_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "OWN_GROUPS", tmp_path / "own")
    return tmp_path / "cgroup"


def limit(group: Path, **files: str) -> None:
    group.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (group / name.replace("__", ".")).write_text(f"{text}\n")


def test_a_container_has_the_cores_of_its_quota(groups: Path) -> None:
    assert usable_cores() == 64  # no /sys at all
    limit(groups, cpu__max="max 100000")
    assert usable_cores() == 64
    limit(groups, cpu__max="150000 100000")
    assert usable_cores() == 2
    limit(groups, cpu__max="20000 100000")
    assert usable_cores() == 1


def test_so_has_one_on_an_older_system(groups: Path) -> None:
    limit(groups / "cpu,cpuacct", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    cores.OWN_GROUPS.write_text("3:cpu,cpuacct:/docker/1f\n2:memory:/docker/1f\n")
    assert usable_cores() == 64
    limit(groups / "cpu,cpuacct", cpu__cfs_quota_us="300000")
    assert usable_cores() == 3


def test_the_narrowest_group_around_this_process_counts(groups: Path) -> None:
    cores.OWN_GROUPS.write_text("0::/user.slice/session.scope\n")
    limit(groups / "user.slice" / "session.scope", cpu__max="max 100000")
    limit(groups / "user.slice", cpu__max="400000 100000")
    limit(groups / "other.slice", cpu__max="100000 100000")
    assert usable_cores() == 4


def test_what_cannot_be_understood_limits_nothing(groups: Path) -> None:
    for text in ("", "what", "1 0", "a b c"):
        limit(groups, cpu__max=text)
        assert usable_cores() == 64
    cores.OWN_GROUPS.write_bytes(b"\xff\n")
    assert usable_cores() == 64


def test_a_system_without_affinity_has_all_processors(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert usable_cores() == 10
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
