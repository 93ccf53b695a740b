from typing import Any

import pytest
import torch
from support.tiny_training import CPU, TASK, untimed, window
from torch import Tensor, nn

from energybench.compression.base import Baseline
from energybench.config import FinetuneConfig
from energybench.errors import CellError
from energybench.records.record import EpochRecord
from energybench.training.course import best_epoch
from energybench.training.evaluate import evaluate
from energybench.training.finetune import finetune
from energybench.training.plan import Finetuning


def blobs(count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Two classes of 2x2 "images", apart by one standard deviation in each pixel."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    images = torch.randn(count, 1, 2, 2, generator=draw) + labels.view(-1, 1, 1, 1)
    return list(zip(images.split(8), labels.split(8), strict=True))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Dropout(0.1), nn.ReLU(), nn.Linear(8, 2))


def run(model: nn.Module, watch: Any = lambda epoch: None, **changes: Any) -> list[EpochRecord]:
    config = FinetuneConfig(**{"max_epochs": 12, **changes.pop("config", {})})
    parts: dict[str, Any] = {
        "task": TASK,
        "train": blobs(64, 0),
        "validation": blobs(40, 1),
        "config": config,
        "seed": 0,
        "device": CPU,
        "precision": "fp32",
        "window": window,
        "watch": watch,
    }
    return finetune(model, Baseline(), Finetuning(**{**parts, **changes}))


def test_it_learns_and_records_every_epoch() -> None:
    model = network()
    before = evaluate(model, TASK, blobs(40, 1), CPU)
    epochs = run(model)
    after = evaluate(model, TASK, blobs(40, 1), CPU)
    assert after.loss < before.loss
    assert [epoch.epoch for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert all(epoch.items == 64 and epoch.steps == 8 for epoch in epochs)
    assert all(epoch.joules == 50.0 and epoch.items_per_s == 64.0 for epoch in epochs)


def test_the_best_validation_epochs_weights_are_the_result() -> None:
    model = network()
    epochs = run(model, config={"learning_rate": 1.5, "patience": 6})
    best = min(epochs, key=lambda epoch: epoch.validation_loss)
    assert best.epoch < len(epochs)
    assert best_epoch(epochs) == best.epoch
    assert evaluate(model, TASK, blobs(40, 1), CPU).loss == pytest.approx(best.validation_loss)


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, second, other = (untimed(run(network(), seed=seed)) for seed in (0, 0, 1))
    assert first == second
    assert other != first  # dropout


def test_early_stopping_and_the_cap_on_epochs() -> None:
    assert len(run(network(), config={"learning_rate": 0.0})) == 4  # 1 + patience
    assert len(run(network(), config={"max_epochs": 2})) == 2


def test_a_loss_that_is_not_finite_ends_the_cell() -> None:
    with pytest.raises(CellError, match=r"training loss of epoch 1 is nan"):
        run(network(), train=[(torch.full((8, 1, 2, 2), torch.nan), torch.zeros(8).long())])


def test_an_empty_training_split_says_what_to_do() -> None:
    with pytest.raises(CellError, match="lower batch_size"):
        run(network(), train=[])


def test_bf16_is_another_arithmetic_and_leaves_float32_weights() -> None:
    model = network()
    epochs = run(model, precision="bf16")
    assert model[1].weight.dtype == torch.float32  # type: ignore[index]
    assert epochs[0].train_loss != run(network())[0].train_loss


def test_evaluate_leaves_the_mode_and_counts() -> None:
    model = network().train()
    result = evaluate(model, TASK, blobs(40, 1), CPU)
    assert model.training
    labels = torch.cat([labels for _, labels in blobs(40, 1)])
    assert result.items == len(result.outcomes) == 40
    assert result.value == (result.outcomes == labels).sum().item() / 40


def test_a_split_without_items_says_so() -> None:
    with pytest.raises(CellError, match="no items"):
        evaluate(network(), TASK, [], CPU)
