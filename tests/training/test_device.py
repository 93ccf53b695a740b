"""Threads of a run in a container whose quota is smaller than the machine."""

from collections.abc import Iterator

import pytest
import torch

from energybench.config import MeasureConfig, RunConfig
from energybench.progress import Progress
from energybench.runs.startup import open_session
from energybench.training import device
from energybench.training.device import all_threads, share_threads, with_all_threads


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyTorch that counts four processors, of which the container may use two."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "usable_cores", lambda: 2)
    torch.set_num_threads(4)
    all_threads.cache_clear()
    yield
    torch.set_num_threads(before)
    all_threads.cache_clear()


def test_a_run_in_a_container_uses_the_threads_of_its_quota() -> None:
    config = RunConfig(dataset="digits", device="cpu", measure=MeasureConfig(("codecarbon",)))
    session = open_session(config, Progress(None), for_energy=False)
    assert session.facts().threads == torch.get_num_threads() == 2
    session.close()
    with with_all_threads():
        assert torch.get_num_threads() == 2


def test_ranks_share_the_quota() -> None:
    share_threads(2)
    assert torch.get_num_threads() == 1


def test_a_number_that_the_user_sets_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    share_threads(2)
    assert torch.get_num_threads() == 4
    monkeypatch.delenv("OMP_NUM_THREADS")
    torch.set_num_threads(1)
    share_threads(1)
    assert torch.get_num_threads() == 1
