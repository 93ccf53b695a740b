"""Training and evaluation know nothing of images: here batches are dicts, and items are letters."""

import math
from typing import Any

import pytest
import torch
from support.ranks import on_ranks
from support.ranks_at_work import letters
from support.tiny_training import CPU, NextLetter, window
from torch import Tensor

from energybench.compression.base import Baseline
from energybench.config import FinetuneConfig
from energybench.records.record import EpochRecord
from energybench.training.calibrate import calibrate
from energybench.training.distributed.group import ALONE
from energybench.training.evaluate import evaluate
from energybench.training.finetune import finetune
from energybench.training.plan import Finetuning
from energybench.workloads.base import Task

LETTERS: Task = NextLetter()


def plan(**changes: Any) -> Finetuning:
    parts: dict[str, Any] = {
        "task": LETTERS,
        "train": LETTERS.batches("train", 16, 0),
        "validation": LETTERS.batches("validation", 16, 1),
        "config": FinetuneConfig(max_epochs=4, learning_rate=1.0),
        "seed": 0,
        "device": CPU,
        "precision": "fp32",
        "window": window,
        "watch": lambda epoch: None,
    }
    return Finetuning(**{**parts, **changes})


def test_a_task_whose_batches_are_dicts_is_trained_and_judged() -> None:
    model = LETTERS.model(0)
    epochs: list[EpochRecord] = finetune(model, Baseline(), plan())
    assert [epoch.items for epoch in epochs] == [64 * 7] * 4, "items are letters"
    assert [epoch.steps for epoch in epochs] == [4] * 4
    assert epochs[-1].train_loss < epochs[0].train_loss
    for epoch in epochs:
        assert epoch.validation_metric == pytest.approx(math.exp(epoch.validation_loss))
    test = evaluate(model, LETTERS, LETTERS.batches("test", 16, 2), CPU)
    assert test.value == pytest.approx(math.exp(test.loss))
    assert 1.0 < test.value < NextLetter.LETTERS
    assert test.items == 64 * 7
    batches = LETTERS.batches("test", 64, 2)
    (truth,) = (batch["targets"]["next"].flatten() for batch in batches)
    assert torch.equal(test.outcomes, truth), "every letter is predicted, in the split's order"
    assert test.right is not None
    assert test.right.tolist() == [True] * (64 * 7)


def test_the_batch_size_of_an_evaluation_changes_no_result() -> None:
    model = LETTERS.model(0)
    whole, parts = (evaluate(model, LETTERS, LETTERS.batches("test", n, 2), CPU) for n in (64, 9))
    assert whole.loss == pytest.approx(parts.loss, rel=1e-6)
    assert torch.equal(whole.outcomes, parts.outcomes)


def test_its_arithmetic_is_calibrated() -> None:
    found = calibrate(LETTERS.model(0), Baseline(), ["fp32", "bf16"], plan())
    assert set(found.candidates) == {"fp32", "bf16"}


def test_outcomes_may_be_real_numbers() -> None:
    class Certainty(NextLetter):
        def evaluate(self, model: torch.nn.Module, batch: Any) -> Any:
            found = super().evaluate(model, batch)
            certainty = model(batch["letters"]).softmax(dim=2).amax(dim=2).flatten()
            return type(found)(found.loss, found.metric, certainty)  # no answer right or wrong

    test = evaluate(LETTERS.model(0), Certainty(), LETTERS.batches("test", 16, 2), CPU)
    assert test.outcomes.is_floating_point()
    assert (test.outcomes > 0.2).all()
    assert test.right is None


def test_two_ranks_train_it_as_one_process_does() -> None:
    alone, outcomes = letters(ALONE)
    for losses, answers in on_ranks(letters, ("a", "a")):
        assert losses == [pytest.approx(pair, rel=1e-5) for pair in alone]
        assert answers == outcomes


def test_a_task_decides_what_is_given_to_the_model() -> None:
    seen: list[tuple[int, ...]] = []
    model = LETTERS.model(0)

    def forward(tokens: Tensor) -> Any:
        seen.append(tuple(tokens.shape))
        return model(tokens)

    finetune(model, Baseline(), plan(forward=forward, epochs=1))
    assert seen == [(16, 7)] * 4
