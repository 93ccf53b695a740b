"""Two ranks that share the weights of one network train it as one process would."""

from typing import Any

import pytest
import torch
from support.language import model_folder, text_folder
from support.ranks import on_ranks
from support.ranks_at_work import course, sentences, several, with_batch_norm

from energybench.compression.base import Baseline, trains_freely
from energybench.compression.compose import build
from energybench.config import FinetuneConfig, RunConfig
from energybench.errors import CellError, UsageError
from energybench.registry import METHODS
from energybench.training.distributed.group import ALONE

FREELY = ("baseline", "lowrank", "lora@2")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A text, and a small Llama: without dropout there is no chance in its training."""
    folder = tmp_path_factory.mktemp("language")
    return str(text_folder(folder / "text")), str(model_folder(folder / "llama", "llama"))


@pytest.fixture(scope="module")
def two(files: tuple[str, str]) -> dict[str, list[Any]]:
    works: dict[str, tuple[Any, ...]] = {method: (sentences, *files, method) for method in FREELY}
    works["images"] = (course, with_batch_norm, "fp32", True)
    by_rank = on_ranks(several, ("a", "a"), works)
    return {name: [answers[name] for answers in by_rank] for name in works}


@pytest.mark.parametrize("method", FREELY)
def test_a_sharded_language_model_has_the_losses_of_one_process(
    two: dict[str, list[Any]], files: tuple[str, str], method: str
) -> None:
    expected, weights, _ = sentences(ALONE, *files, method, False)
    first, second = two[method]
    assert first[0] == [pytest.approx(pair, rel=1e-3) for pair in expected]
    assert second[0] == first[0]
    assert list(first[1]) == list(weights)
    for name, value in first[1].items():
        assert torch.equal(value, second[1][name]), name
        assert type(value) is torch.Tensor


def test_each_rank_holds_half_of_the_weights_while_it_trains(two: dict[str, list[Any]]) -> None:
    assert [share for *_, share in two["baseline"]] == [pytest.approx(0.5, abs=0.02)] * 2


def test_a_sharded_network_with_batch_norms_too(two: dict[str, list[Any]]) -> None:
    alone, predictions, weights = course(ALONE, with_batch_norm)
    for records, found, state in two["images"]:
        losses = [(one.train_loss, one.validation_loss) for one in records]
        expected = [(one.train_loss, one.validation_loss) for one in alone]
        assert losses == [pytest.approx(pair, rel=1e-3) for pair in expected]
        assert sum(a != b for a, b in zip(found, predictions, strict=True)) <= 3
        assert list(state) == list(weights)
        assert all(type(value) is torch.Tensor for value in state.values())


def test_a_method_that_holds_whole_weights_is_refused_in_a_line(files: tuple[str, str]) -> None:
    with pytest.raises(
        CellError, match=r"prune@0\.5 holds whole weights after each step, and shard"
    ):
        sentences(ALONE, *files, "prune@0.5", True)


def test_methods_say_whether_they_hold_anything_after_a_step() -> None:
    held = {name for name in METHODS.names() if not trains_freely(build(name))}
    masks = {"prune", "prune-layerwise", "prune-2to4"}
    assert held == {"stego", "stego-fp32"} | masks
    assert trains_freely(build("lowrank+stego-once"))
    assert not trains_freely(build("lowrank+stego"))

    class Own(Baseline):
        def after_step(self, model: torch.nn.Module) -> None:
            next(model.parameters()).data.zero_()

    assert not trains_freely(Own()), "it does not inherit the word of what it replaces"


def test_one_process_has_nobody_to_share_with() -> None:
    with pytest.raises(UsageError, match="shard divides weights among ranks, and there is one"):
        RunConfig(shard=True).check_ranks(1)
    RunConfig(shard=True, finetune=FinetuneConfig(batch_size=64)).check_ranks(2)
