"""The largest batch that fits."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from support.tiny_cells import tiny_run, tiny_session

from energybench.config import Cell
from energybench.errors import CellError
from energybench.runs import batch_size, host_memory
from energybench.runs.batch_size import largest_batch
from energybench.runs.session import Session
from energybench.workloads.images.weights.lookup import PretrainedModel

MIB = 1 << 20
NEVER = 1 << 30


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    with tiny_session(monkeypatch, tmp_path) as found:
        yield replace(found, config=replace(found.config, largest_batch=True))


def largest(session: Session) -> int:
    return largest_batch(session, "resnet18")


def test_it_is_a_power_of_two_that_the_training_split_has(session: Session) -> None:
    assert largest(session) == 256  # of 450 images


def test_it_is_found_once_for_all_methods_and_is_in_the_protocol(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(session)
    run.prepare(["resnet18"])
    assert run.batch_sizes == {"resnet18": 256}
    monkeypatch.setattr("energybench.runs.executors.in_process.largest_batch", None)
    run.prepare(["resnet18"])
    record = run.result(Cell("resnet18", "baseline")).record
    assert record.protocol.batch_size == 256


def test_a_number_that_was_given_stays(session: Session) -> None:
    given = replace(session, config=replace(session.config, largest_batch=False))
    run = tiny_run(given)
    record = run.result(Cell("resnet18", "baseline")).record
    assert run.batch_sizes == {}
    assert record.protocol.batch_size == 64


def test_a_model_that_does_not_fit_fails_its_cells_and_no_others(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "available_bytes", lambda: -1)
    record = tiny_run(session).result(Cell("resnet18", "baseline")).record
    assert record.status == "failed"
    assert record.error is not None
    assert "not even a batch of 2 fits" in record.error


@pytest.mark.parametrize(("free", "largest_size"), [(40, 32), (200, 128), (NEVER, 256)])
def test_the_host_is_never_asked_for_more_than_it_has(
    session: Session, monkeypatch: pytest.MonkeyPatch, free: int, largest_size: int
) -> None:
    """Each image takes a mebibyte, of which `free` are there; 9 of 10 may be taken."""
    tried: list[int] = []
    before = 1000 * MIB
    monkeypatch.setattr(host_memory, "resident_bytes", lambda: before)
    monkeypatch.setattr(host_memory, "available_bytes", lambda: free * MIB)
    monkeypatch.setattr(batch_size, "_train", lambda session, weights, size: tried.append(size))
    monkeypatch.setattr(host_memory, "peak_bytes", lambda: before + tried[-1] * MIB)
    assert largest(session) == largest_size
    assert max(tried) <= 0.9 * free


def test_without_room_for_two_images_it_says_what_to_do(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "available_bytes", lambda: -1)
    with pytest.raises(
        CellError, match=r"resnet18: not even a batch of 2 fits .* end other programs"
    ):
        largest(session)


def test_a_network_that_does_not_fit_itself_says_the_same(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 EiB")

    monkeypatch.setattr(PretrainedModel, "load", load)
    with pytest.raises(CellError, match="not even a batch of 2 fits"):
        largest(session)


def test_without_linux_the_peak_of_the_whole_process_bounds_that_of_a_batch(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on_linux = largest(session)
    monkeypatch.setattr(host_memory, "_PROCESS", tmp_path / "no such folder")
    assert host_memory.peak_bytes() >= 0.9 * psutil.Process().memory_info().rss
    assert 2 <= largest(session) <= on_linux


@pytest.mark.parametrize(
    ("error", "fits"), [(None, True), (torch.OutOfMemoryError("CUDA out of memory"), False)]
)
def test_a_gpu_is_tried_within_a_share_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, fits: bool
) -> None:
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (30, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: shares.append(share)
    )

    def trial() -> None:
        if error is not None:
            raise error

    assert batch_size._fits_cuda(trial) == fits
    assert shares == [pytest.approx(0.9 * 0.5), 1.0]


def test_another_error_of_a_gpu_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("current_device", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 1))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: None)

    def trial() -> None:
        raise RuntimeError("CUDA error: device lost")

    with pytest.raises(RuntimeError, match="device lost"):
        batch_size._fits_cuda(trial)
