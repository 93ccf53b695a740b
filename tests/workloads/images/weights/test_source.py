"""Weights are a plan with a key before they are there."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from energybench.errors import UsageError
from energybench.progress import Progress
from energybench.registry import MODELS
from energybench.workloads.images.data.digits import Digits
from energybench.workloads.images.networks import ModelSpec
from energybench.workloads.images.task import ImageClassification
from energybench.workloads.images.weights import pretraining, trainer
from energybench.workloads.images.weights.pretraining import Pretraining

CPU = torch.device("cpu")
QUIET = Progress(None)


class Tiny(ModelSpec):
    def build(self, classes: int, photographs: bool = False) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """An empty cache and a tiny network for every name; grows by one item per pretraining."""
    spec = Tiny("resnet18", 0, "1", small_image_size=8)
    monkeypatch.setattr(MODELS, "get", lambda name: spec)
    monkeypatch.setenv("ENERGYBENCH_CACHE", str(tmp_path))
    seen: list[int] = []
    original = trainer.pretrain

    def counted(*arguments: object) -> None:
        seen.append(torch.get_num_threads())
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trainer, "pretrain", counted)
    return seen


def task() -> ImageClassification:
    return Digits().task("resnet18", None, CPU)


def test_asking_for_the_key_trains_nothing(trained: list[int], tmp_path: Path) -> None:
    weights = task().weights
    assert len(weights.key) == 16
    assert weights.key == task().weights.key
    assert weights.path is not None
    assert not weights.path.exists()
    assert weights.facts == {}
    assert trained == []


def test_they_are_trained_once_and_say_so_before(trained: list[int]) -> None:
    weights, said = task().weights, list[str]()
    key = weights.key
    weights.ensure(QUIET, said.append)
    weights.ensure(QUIET, said.append)
    task().weights.ensure(QUIET, said.append)
    assert len(trained) == 1
    (line,) = said
    assert line.startswith("pretraining resnet18 on digits, once, for 12 epochs on cpu")
    assert str(weights.path) in line
    assert weights.facts["key"] == weights.key == key
    assert 0.5 < weights.facts["test_accuracy"] <= 1.0


def test_a_pretraining_that_is_interrupted_starts_only_when_weights_are_asked_for(
    trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    weights = task().weights
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "pretrain", interrupted)
        with pytest.raises(KeyboardInterrupt):
            weights.ensure(QUIET)
        assert weights.key
        assert weights.facts == {}
    weights.ensure(QUIET)
    assert len(trained) == 1


def test_loading_trains_what_is_missing_and_gives_the_same_every_time(trained: list[int]) -> None:
    first, facts = task().weights.load(CPU, seed=3)
    second = task().model(seed=4)
    assert len(trained) == 1
    assert facts["source"] == "digits pretraining"
    assert facts["head_replaced"] is False
    assert facts["test_accuracy"] == task().weights.facts["test_accuracy"]
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_damaged_file_is_trained_again(trained: list[int]) -> None:
    weights = task().weights
    weights.ensure(QUIET)
    assert weights.path is not None
    weights.path.write_bytes(b"torn")
    weights.ensure(QUIET)
    assert len(trained) == 2
    assert weights.facts["key"] == weights.key


def test_the_key_follows_the_data_the_device_and_the_threads(trained: list[int]) -> None:
    spec, data = MODELS.get("resnet18"), Digits()
    plain = Pretraining(spec, data, CPU, 2)
    assert plain.key == Pretraining(spec, Digits(), CPU, 2).key
    others = [
        Pretraining(spec, data, torch.device("cuda"), 2),
        Pretraining(spec, data, CPU, 3),
        Pretraining(spec, data, CPU, 2, seed=1),
        Pretraining(spec, Digits(split_seed=1), CPU, 2),
        Pretraining(Tiny("other", 0, "1", small_image_size=8), data, CPU, 2),
        Pretraining(Tiny("resnet18", 0, "1", small_image_size=9), data, CPU, 2),
    ]
    assert len({plain.key, *(other.key for other in others)}) == 7
    assert trained == []


def test_pretraining_uses_the_threads_of_its_key(trained: list[int]) -> None:
    before = torch.get_num_threads()
    Pretraining(MODELS.get("resnet18"), Digits(), CPU, before + 1).run(QUIET)
    assert trained == [before + 1]
    assert torch.get_num_threads() == before


def test_wording_in_the_trainer_changes_no_key(tmp_path: Path) -> None:
    def code(text: str) -> str:
        path = tmp_path / "some_trainer.py"
        path.write_text(text)
        module = type(os)("some_trainer")
        module.__file__ = str(path)
        import linecache

        linecache.checkcache()
        return pretraining._code(module)

    assert code('"""One."""\ndef f(x):\n    """Two."""\n    return x  # three\n') == code(
        '"""Other."""\n\n\ndef f(x):\n    return x\n'
    )
    assert code("def f(x):\n    return x\n") != code("def f(x):\n    return x + 1\n")


def test_a_given_file_has_a_key_that_follows_its_contents(
    trained: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "own.pt"
    torch.save(MODELS.get("resnet18").build(10).state_dict(), path)
    given = Digits().task("resnet18", str(path), CPU)
    before = given.weights.key
    _, facts = given.weights.load(CPU)
    assert facts == {"source": str(path), "head_replaced": False}
    os.utime(path, ns=(1, 1))
    assert given.weights.key != before
    weights = given.weights
    path.unlink()
    with pytest.raises(UsageError, match=r"cannot read weights from .*own\.pt: No such file"):
        assert weights.key
    with pytest.raises(UsageError, match="no weights at"):
        assert given.weights
    assert trained == []
