"""What ranks must have before they open a run together."""

import pytest
import torch

from energybench.app.plugin.torchrun import rank
from energybench.config import MeasureConfig, RunConfig
from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.runs.startup import _check_devices, open_session
from energybench.training.device import find_device


def test_every_rank_has_a_gpu_of_its_own_or_none_has_any() -> None:
    _check_devices([None, None])
    _check_devices(["a", "b"])
    with pytest.raises(UsageError, match="ranks 0 and 2 have the same GPU; start one process per"):
        _check_devices(["a", "b", "a"])
    with pytest.raises(UsageError, match="rank 0 trains on a GPU and rank 1 on a CPU"):
        _check_devices(["a", None])


@pytest.mark.parametrize(("seen", "expected"), [(1, "cuda:0"), (4, "cuda:2")])
def test_a_launcher_may_show_each_rank_its_own_gpu_only(
    monkeypatch: pytest.MonkeyPatch, seen: int, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    assert find_device("cuda", 2, 4, use=False) == torch.device(expected)


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(UsageError, match="4 processes, but PyTorch sees 3 CUDA devices here"):
        find_device("cuda", 0, 4, use=False)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, None),
        ({"WORLD_SIZE": "1", "RANK": "0"}, None),
        ({"WORLD_SIZE": "2"}, None),
        ({"WORLD_SIZE": "2", "RANK": "1"}, 1),
    ],
)
def test_a_rank_is_what_a_launcher_says_that_it_is(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], found: int | None
) -> None:
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert rank() == found


def test_a_session_knows_the_watts_that_its_estimate_assumes() -> None:
    measure = MeasureConfig(meters=("codecarbon",), cpu_watts=65.0)
    session = open_session(RunConfig(device="cpu", measure=measure), Progress(None))
    facts = session.facts()
    session.close()
    assert facts.assumptions is not None
    assert (facts.assumptions.cpu_watts, facts.assumptions.declared) == (65.0, ("cpu",))
    assert facts.sources["cpu:estimate"] == "declared_estimate"
