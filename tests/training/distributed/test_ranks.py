"""Several ranks train one network as one process would with the whole batch."""

from typing import Any

import pytest
import torch
from support.ranks import on_ranks
from support.ranks_at_work import (
    course,
    evaluated,
    modules_after,
    refused,
    several,
    slow_images,
    steps,
    told,
    unified,
    with_batch_norm,
    without_batch_norm,
)

from energybench.records.record import EpochRecord
from energybench.registry import image_models
from energybench.training.distributed.group import ALONE

TWO = ("a", "a")


@pytest.fixture(scope="module")
def two() -> dict[str, list[Any]]:
    """What each of two ranks has done; starting them takes longer than most of it."""
    works = {
        "with_batch_norm": (course, with_batch_norm),
        "without_batch_norm": (course, without_batch_norm),
        "resnet18": (steps, "resnet18"),
        "bf16": (course, with_batch_norm, "bf16"),
        "slow_images": (slow_images,),
        "modules": (modules_after,),
        "equal": (unified, False),
        "differing": (unified, True),
        "refused": (refused,),
    }
    by_rank = on_ranks(several, TWO, works)
    return {name: [answers[name] for answers in by_rank] for name in works}


def losses(records: list[EpochRecord]) -> list[tuple[float, float]]:
    return [(one.train_loss, one.validation_loss) for one in records]


def assert_one_course(by_rank: list[Any], alone: list[EpochRecord], rel: float = 1e-4) -> None:
    first, *others = by_rank
    assert losses(first[0]) == [pytest.approx(pair, rel=rel) for pair in losses(alone)]
    assert [one.items for one in first[0]] == [448] * len(alone)
    assert [one.steps for one in first[0]] == [7] * len(alone)
    for other in others:  # equal bit by bit: every rank stops at the same epoch
        assert losses(other[0]) == losses(first[0])
        assert other[1] == first[1]
        for name, value in other[2].items():
            assert torch.equal(value, first[2][name]), name


def assert_same_steps(name: str, by_rank: list[Any]) -> None:
    """Losses come as float32."""
    *expected, buffers = steps(ALONE, name)
    for *found, kept in by_rank:
        assert found == pytest.approx(expected, rel=1e-6)
        for mine, theirs in zip(kept, buffers, strict=True):
            assert torch.allclose(mine, theirs, rtol=1e-9)


@pytest.mark.parametrize("build", [without_batch_norm, with_batch_norm])
def test_two_ranks_have_the_loss_curve_of_one_process_with_the_whole_batch(
    two: dict[str, list[Any]], build: Any
) -> None:
    alone, predictions, _ = course(ALONE, build)
    found = two[build.__name__]
    assert_one_course(found, alone)
    differ = sum(a != b for a, b in zip(found[0][1], predictions, strict=True))
    assert len(found[0][1]) == 600
    assert differ <= 3


def test_in_bfloat16_batch_statistics_are_those_of_float32(two: dict[str, list[Any]]) -> None:
    alone, _, _ = course(ALONE, with_batch_norm, "bf16")
    assert_one_course(two["bf16"], alone, rel=0.01)
    assert two["bf16"][0][2]["1.running_var"].dtype == torch.float32


def test_two_ranks_train_resnet18_like_one(two: dict[str, list[Any]]) -> None:
    assert_same_steps("resnet18", two["resnet18"])


@pytest.mark.every_model
@pytest.mark.parametrize("name", image_models())
def test_two_ranks_train_every_network_like_one(name: str) -> None:
    assert_same_steps(name, on_ranks(steps, TWO, name))


def test_four_ranks_on_two_machines_too() -> None:
    alone, _, _ = course(ALONE, with_batch_norm)
    assert_one_course(on_ranks(course, ("a", "b", "a", "b"), with_batch_norm), alone)


def test_waiting_for_images_is_that_of_the_rank_that_waits(two: dict[str, list[Any]]) -> None:
    """The window of these tests says that it took a second; the second rank slept 0.6 of it."""
    first, second = two["slow_images"]
    assert first == second >= 0.6


def test_the_models_own_batch_norms_are_back_in_the_end(two: dict[str, list[Any]]) -> None:
    names = [type(part).__name__ for part in with_batch_norm().modules()]
    assert two["modules"] == [names, names]


def test_predictions_are_in_the_splits_order_also_where_a_rank_has_no_image() -> None:
    assert on_ranks(evaluated, ("a",) * 3, 2) == [[0, 1]] * 3


def test_a_network_that_differs_anywhere_becomes_rank_0s_with_what_holds_it(
    two: dict[str, list[Any]],
) -> None:
    first, second = two["differing"]
    assert first[:2] == second[:2], "weights and zeros"
    assert first[1] > 0.5
    assert [kept for _, _, kept in two["differing"]] == [True, False]
    assert [kept for _, _, kept in two["equal"]] == [True, True]


def test_an_error_of_one_rank_is_an_error_of_all(two: dict[str, list[Any]]) -> None:
    assert two["refused"] == ["rank 1: no such folder"] * 2


def test_ranks_that_fail_alike_go_on_and_one_that_fails_alone_ends_the_group() -> None:
    one, other = on_ranks(told, TWO)
    assert one == other == [None, "diverged", "rank 1: a bad image", "rank 1: torn", "broken"]
