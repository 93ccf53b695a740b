"""The memory of a process: its peak, and what it can still take."""

import os
from pathlib import Path

import pytest
import torch

from energybench.runs import host_memory

MIB = 1 << 20
ON_LINUX = pytest.mark.skipif(
    not hasattr(os, "fdatasync"), reason="only Linux forgets the peak of a process"
)


@ON_LINUX
def test_the_peak_is_that_of_this_process_since_it_was_forgotten() -> None:
    host_memory.forget_peak()
    before = host_memory.peak_bytes()
    torch.ones(128 * MIB // 4).sum()
    assert host_memory.peak_bytes() >= before + 100 * MIB
    host_memory.forget_peak()
    assert host_memory.peak_bytes() <= before + 50 * MIB


@ON_LINUX
def test_memory_that_the_allocator_kept_does_not_hide_what_a_batch_takes() -> None:
    torch.ones(31 * MIB // 4).sum()  # from here on, glibc takes such sizes from its heap
    freed = [torch.ones(30 * MIB // 4) for _ in range(6)]
    on_top = [torch.ones(MIB // 4) for _ in range(40)]
    del freed  # stays with the allocator, below what is on top
    host_memory.forget_peak()
    before = host_memory.peak_bytes()
    torch.ones(128 * MIB // 4).sum()
    assert host_memory.peak_bytes() >= before + 100 * MIB
    del on_top


def test_a_limit_of_the_control_group_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(host_memory, "_CGROUP", tmp_path)
    free = host_memory.available_bytes()
    assert free > 0
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5000\n")
    assert host_memory.available_bytes() > 5000
    (tmp_path / "memory.max").write_text("9000\n")
    assert host_memory.available_bytes() == 4000
